package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/ciro-network/ciro/node/api"
)

// Upload stores what r yields. size is its length in bytes, or -1 when unknown;
// a known one lets the node refuse at once what is too large.
func (c *Client) Upload(ctx context.Context, r io.Reader, size int64) (api.BlobInfo, error) {
	if size > api.MaxBlob {
		return api.BlobInfo{}, api.Refuse(api.CodeTooLarge, "split it or make it smaller",
			"%d bytes are more than the %d MiB a job may bring", size, api.MaxBlob>>20)
	}
	// The wrapper keeps the transport from closing what the caller owns.
	body := struct{ io.Reader }{r}
	return answer[api.BlobInfo](c.do(ctx, request{method: http.MethodPut, path: "/blobs", body: body, size: size,
		header: http.Header{"Content-Type": {"application/octet-stream"}}}))
}

// UploadFile stores a regular file and checks that all of it arrived.
func (c *Client) UploadFile(ctx context.Context, name string) (api.BlobInfo, error) {
	f, err := os.Open(name)
	if err != nil {
		return api.BlobInfo{}, fmt.Errorf("upload: %w", err)
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return api.BlobInfo{}, fmt.Errorf("upload: %w", err)
	}
	if !stat.Mode().IsRegular() {
		return api.BlobInfo{}, fmt.Errorf("upload %s: it is not a regular file; name a file", name)
	}
	info, err := c.Upload(ctx, f, stat.Size())
	if err != nil {
		return info, fmt.Errorf("upload %s: %w", name, err)
	}
	if info.Size != stat.Size() {
		return info, fmt.Errorf("upload %s: the node stored %d of %d bytes; try again", name, info.Size, stat.Size())
	}
	return info, nil
}

// Files lists what lies below a CID.
func (c *Client) Files(ctx context.Context, cid string) (api.BlobList, error) {
	return get[api.BlobList](ctx, c, "/blobs/"+url.PathEscape(cid), url.Values{"list": {"true"}})
}

// Open gives the bytes of a file below a CID (path "" for a CID that is a file)
// and their number, -1 when the node does not say. The caller closes it.
func (c *Client) Open(ctx context.Context, cid, file string) (io.ReadCloser, int64, error) {
	target := "/blobs/" + url.PathEscape(cid)
	for name := range strings.SplitSeq(file, "/") {
		if name == "." || name == ".." { // a server would take it for a step in its own paths
			return nil, 0, api.Refuse(api.CodeInvalidRequest, "ciro job results JOB lists the files", "%q is no path of a file in %s", file, cid)
		}
	}
	if file != "" {
		target += "/" + escapePath(file)
	}
	r, err := c.do(ctx, request{method: http.MethodGet, path: target})
	if err != nil {
		return nil, 0, err
	}
	return r.Body, r.ContentLength, nil
}

// Has reports whether the node can serve a CID that is a file.
func (c *Client) Has(ctx context.Context, cid string) (bool, error) {
	r, err := c.do(ctx, request{method: http.MethodHead, path: "/blobs/" + url.PathEscape(cid)})
	if refused, ok := errors.AsType[*api.Refusal](err); ok && refused.Status == http.StatusNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	discard(r.Body)
	return true, nil
}

// Results lists the files of a job's result, or with task (-1 is the gather
// task) those of one task. A nil task means the job's result.
func (c *Client) Results(ctx context.Context, job string, task *int) (api.BlobList, error) {
	var query url.Values
	if task != nil {
		query = url.Values{"task": {strconv.Itoa(*task)}}
	}
	return get[api.BlobList](ctx, c, jobPath(job)+"/results", query)
}

// Download writes every file of list into the folder dest, which is made if it
// is not there, and returns the paths written, relative to dest. Existing files
// are replaced. No path of the list leads out of dest, not even through a
// symbolic link; each file must have the size that the list says. fallback names
// a result that is a single file without a name.
func (c *Client) Download(ctx context.Context, list api.BlobList, dest, fallback string) ([]string, error) {
	if err := os.MkdirAll(dest, 0o755); err != nil {
		return nil, fmt.Errorf("results folder: %w", err)
	}
	root, err := os.OpenRoot(dest)
	if err != nil {
		return nil, fmt.Errorf("results folder: %w", err)
	}
	defer root.Close()
	var written []string
	for _, file := range list.Files {
		name := file.Path
		if name == "" {
			name = fallback
		}
		if err := c.fetch(ctx, root, list.CID, file, name); err != nil {
			return written, fmt.Errorf("result %s: %w", name, err)
		}
		written = append(written, name)
	}
	return written, nil
}

// fetch writes one file below root, under a temporary name until it is whole.
func (c *Client) fetch(ctx context.Context, root *os.Root, cid string, file api.BlobFile, name string) error {
	if dir := path.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	below := file.Path
	if file.CID != "" {
		cid, below = file.CID, file.Below
	}
	body, _, err := c.Open(ctx, cid, below)
	if err != nil {
		return err
	}
	defer body.Close()
	part := name + ".part"
	out, err := root.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(body, file.Size+1))
	if err == nil && n != file.Size {
		err = fmt.Errorf("got %d bytes of %d", n, file.Size)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, root.Remove(part))
	}
	return root.Rename(part, name)
}

// escapePath escapes every segment of a slash-separated path.
func escapePath(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return strings.Join(segments, "/")
}
