// The hostile guest does what a guest must not: its first argument selects the
// deed. What should have failed and did not is printed as "escaped: …"; what
// is only refused, as it should be, leaves no word.
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("no deed named"))
	}
	deeds := map[string]func(args []string){
		// paths.go
		"dotdot": dotdot, "absolute": absolute, "nul": nul, "long": long, "odd": odd, "held": held, "roots": roots,
		"special": special, "readLink": readLink, "throughLink": throughLink, "writeLink": writeLink, "ownLink": ownLink,
		"moveLink": moveLink, "hardLink": hardLink, "intoIn": intoIn, "rightsIn": rightsIn, "between": between,
		// space.go
		"fill": fill, "sparse": sparse, "allocate": allocate, "far": far, "files": files, "folders": folders, "deep": deep,
		"names": names, "nameless": nameless, "replace": replace, "appenders": appenders, "shrink": shrink, "churn": churn,
		"listing": listing, "descriptors": descriptors, "folderHandles": folderHandles,
		// calls.go
		"foreign": foreign, "renumber": renumber, "wild": wild, "vectors": vectors, "pollMany": pollMany, "pollFar": pollFar,
		"pollOdd": pollOdd, "random": random, "clocks": clocks, "yield": yield, "flood": flood, "progress": progress,
		"longLine": longLine, "control": control, "sockets": sockets, "exits": exits, "args": args,
	}
	deed, ok := deeds[os.Args[1]]
	if !ok {
		fail(fmt.Errorf("no deed %q", os.Args[1]))
	}
	deed(os.Args[2:])
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "hostile:", err)
	os.Exit(9)
}

func must(err error) {
	if err != nil {
		fail(err)
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	must(err)
	return n
}

// escaped says that something worked.
func escaped(format string, args ...any) { fmt.Printf("escaped: "+format+"\n", args...) }

// no says so if a deed that must fail did not.
func no(err error, format string, args ...any) {
	if err == nil {
		escaped(format, args...)
	}
}
