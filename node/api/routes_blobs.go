package api

import (
	"cmp"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

type blobInput struct {
	CID  string `path:"cid" minLength:"8" maxLength:"128" doc:"CID of a file or a directory"`
	List bool   `query:"list" doc:"List the files below the CID instead"`
}

type blobFileInput struct {
	CID  string `path:"cid" minLength:"8" maxLength:"128" doc:"CID of a directory"`
	Path string `path:"path" maxLength:"4096" doc:"Path of a file below it"`
}

type resultsInput struct {
	ID   string `path:"id" minLength:"4" maxLength:"64" doc:"Job id or a unique prefix of it"`
	Task string `query:"task" maxLength:"8" doc:"Outputs of this task (-1 is the gather task) instead of the job's result"`
}

type resultFileInput struct {
	ID   string `path:"id" minLength:"4" maxLength:"64" doc:"Job id or a unique prefix of it"`
	Task string `query:"task" maxLength:"8" doc:"Outputs of this task (-1 is the gather task) instead of the job's result"`
	Path string `path:"path" maxLength:"4096" doc:"Path of a file of the result"`
}

// blobRoutes registers content: uploads, blobs by CID, results by job.
func (s *Server) blobRoutes(desk huma.API) {
	const bytes = "application/octet-stream"
	put := answers(op("put-blob", http.MethodPut, "/blobs", "Upload content, up to 100 MiB"), "application/json", "What was stored")
	put.Responses["200"].Content["application/json"].Schema = desk.OpenAPI().Components.Schemas.Schema(typeOf[BlobInfo](), true, "")
	put.RequestBody = &huma.RequestBody{Required: true, Description: "The bytes",
		Content: map[string]*huma.MediaType{bytes: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}
	raw(s, desk, put, s.putBlob)
	raw(s, desk, answers(op("get-blob", http.MethodGet, "/blobs/{cid}", "Content by CID (also HEAD, ranges)"), bytes,
		"The bytes, or a BlobList with list"), s.getBlob)
	raw(s, desk, answers(op("get-blob-file", http.MethodGet, "/blobs/{cid}/{path...}", "A file below a CID (also HEAD, ranges)"),
		bytes, "The bytes"), func(w http.ResponseWriter, r *http.Request, in *blobFileInput) error {
		return s.content(w, r, in.CID, in.Path)
	})
	list := op("job-results", http.MethodGet, "/jobs/{id}/results", "List the files of a job's result")
	raw(s, desk, answers(list, "application/json", "A BlobList"), s.results)
	raw(s, desk, answers(op("job-result-file", http.MethodGet, "/jobs/{id}/results/{path...}", "A file of a job's result (also HEAD, ranges)"),
		bytes, "The bytes"), s.resultFile)
}

// putBlob stores an upload. One that says that it is too large is refused before
// a byte is read, one that turns out to be is cut off.
func (s *Server) putBlob(w http.ResponseWriter, r *http.Request, _ *nothing) error {
	if r.ContentLength > MaxBlob {
		return tooLargeRefusal(MaxBlob)
	}
	control := http.NewResponseController(w)
	// A slow network may need longer than a call; recorders have no deadlines.
	_ = control.SetWriteDeadline(time.Time{})
	info, err := s.cfg.Blobs.Put(r.Context(), steadyReader{r: http.MaxBytesReader(w, r.Body, MaxBlob), control: control})
	if err != nil {
		return err
	}
	return writeJSON(w, info)
}

// getBlob serves a file, or the list of what is below a directory.
func (s *Server) getBlob(w http.ResponseWriter, r *http.Request, in *blobInput) error {
	if in.List {
		return s.listFiles(w, r, in.CID)
	}
	return s.content(w, r, in.CID, "")
}

// results lists a job's result: the files of the gather task or of the only
// task, else those of all its tasks as tasks/<index>/….
func (s *Server) results(w http.ResponseWriter, r *http.Request, in *resultsInput) error {
	job, err := s.cfg.Jobs.Describe(r.Context(), in.ID, true)
	if err != nil {
		return err
	}
	if in.Task == "" && job.Result == "" {
		list, err := s.taskFiles(r, job)
		if err != nil {
			return err
		}
		return writeJSON(w, list)
	}
	cid, err := resultCID(job, in.Task)
	if err != nil {
		return err
	}
	return s.listFiles(w, r, cid)
}

// taskFiles lists what the tasks of an ended job left.
func (s *Server) taskFiles(r *http.Request, job Job) (BlobList, error) {
	list := BlobList{Files: []BlobFile{}}
	if !Terminal(job.State) {
		return list, Refuse(CodeConflict, "wait for it to complete: ciro job wait "+job.ID,
			"job %s has no result yet: it is %s", job.ID, job.State)
	}
	for _, t := range job.Tasks {
		if t.Output == "" {
			continue
		}
		files, err := s.cfg.Blobs.Files(r.Context(), t.Output)
		if err != nil {
			return list, err
		}
		for _, f := range files {
			list.Files = append(list.Files, BlobFile{Path: taskFolder(t.Index) + f.Path, Size: f.Size, CID: t.Output, Below: f.Path})
		}
	}
	return list, nil
}

// taskFolder is where the files of a task stand in a list of several tasks'.
func taskFolder(index int) string { return "tasks/" + strconv.Itoa(index) + "/" }

// resultFile serves one file of a job's result.
func (s *Server) resultFile(w http.ResponseWriter, r *http.Request, in *resultFileInput) error {
	job, err := s.cfg.Jobs.Describe(r.Context(), in.ID, true)
	if err != nil {
		return err
	}
	task, file := in.Task, in.Path
	if rest, ok := strings.CutPrefix(file, "tasks/"); ok && task == "" && job.Result == "" {
		task, file, _ = strings.Cut(rest, "/")
	}
	cid, err := resultCID(job, task)
	if err != nil {
		return err
	}
	return s.content(w, r, cid, file)
}

// resultCID finds the CID of what a job, or the one of its tasks that is named,
// produced.
func resultCID(job Job, named string) (string, error) {
	if named == "" {
		if job.Result == "" {
			return "", Refuse(CodeConflict, "ciro job describe "+job.ID+" shows what its tasks left",
				"job %s has no result of its own: it is %s", job.ID, job.State)
		}
		return job.Result, nil
	}
	index, err := strconv.Atoi(named)
	if err != nil {
		return "", Refuse(CodeInvalidRequest, "give its index, or -1 for the gather task", "task %q is not a number", named)
	}
	task := findTask(job, index)
	if task == nil {
		return "", Refuse(CodeNotFound, "see ciro job describe "+job.ID, "job %s has no task %d", job.ID, index)
	}
	if task.State == TaskDone && task.Output == "" {
		return "", Refuse(CodeNotFound, "what it printed: ciro job logs "+job.ID, "task %d of job %s left no files", index, job.ID)
	}
	if task.Output == "" {
		return "", Refuse(CodeConflict, "wait until it is done", "task %d of job %s has no output: it is %s", index, job.ID, task.State)
	}
	return task.Output, nil
}

// findTask finds a task by index; nil when there is none.
func findTask(job Job, index int) *Task {
	if index == GatherIndex {
		return job.Gather
	}
	for i := range job.Tasks {
		if job.Tasks[i].Index == index {
			return &job.Tasks[i]
		}
	}
	return nil
}

// listFiles answers with what is below a CID.
func (s *Server) listFiles(w http.ResponseWriter, r *http.Request, cid string) error {
	files, err := s.cfg.Blobs.Files(r.Context(), cid)
	if err != nil {
		return err
	}
	if files == nil {
		files = []BlobFile{}
	}
	return writeJSON(w, BlobList{CID: cid, Files: files})
}

// content serves a file's bytes. Whatever wrote them is not trusted: a browser
// gets them as data in a sandbox, never as a page of this node.
func (s *Server) content(w http.ResponseWriter, r *http.Request, cid, file string) error {
	body, _, err := s.cfg.Blobs.Open(r.Context(), cid, file)
	if err != nil {
		return err
	}
	defer body.Close()
	kind := mime.TypeByExtension(path.Ext(file))
	if !strings.HasPrefix(kind, "image/") || strings.Contains(kind, "svg") {
		kind = "application/octet-stream"
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": path.Base(cmp.Or(file, cid))}))
	h.Set("Cache-Control", "private, max-age=31536000, immutable")
	h.Set("Etag", `"`+cid+"/"+url.PathEscape(file)+`"`)
	h.Set("X-Ciro-Cid", cid)
	steady := steadyWriter{ResponseWriter: w, control: http.NewResponseController(w)}
	holdOpen(steady.control)
	http.ServeContent(steady, r, "", time.Time{}, body)
	return nil
}

// writeJSON answers with a document.
func writeJSON(w http.ResponseWriter, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(data, '\n')) // a failure means that the client is gone
	return nil
}
