package ctl

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// Limits of an answer with descriptors.
const (
	maxAnswerFDs  = 8
	maxAnswerSize = 64 << 10
)

// HandleFDs answers pattern with descriptors beside the JSON (SCM_RIGHTS, unix(7)). They stay do's: they
// are sent while give runs.
func HandleFDs(mux *http.ServeMux, pattern string, do func(give func(out any, fds []int) error) error) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
		given := false
		if err := do(func(out any, fds []int) error { given = true; return giveFDs(w, out, fds) }); err != nil && !given {
			WriteProblem(w, err) // later the peer is gone: it asks again
		}
	})
}

// giveFDs writes the whole answer in one message, so that the descriptors come with its first byte.
func giveFDs(w http.ResponseWriter, out any, fds []int) error {
	body, err := json.Marshal(out)
	if err != nil {
		return err
	}
	if len(fds) > maxAnswerFDs || len(body) > maxAnswerSize/2 {
		return fmt.Errorf("answer with %d descriptors and %d bytes: too large", len(fds), len(body))
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	defer conn.Close()
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("descriptors on %T: not a unix socket", conn)
	}
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", len(body))
	_, _, err = unixConn.WriteMsgUnix(append([]byte(head), body...), unix.UnixRights(fds...), nil)
	return err
}

// FetchFDs asks for an answer with descriptors. The caller owns these.
func (c *Client) FetchFDs(ctx context.Context, path string, out any) (fds []int, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.path)
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, c.name+".away", "the part "+c.name+" does not answer",
			"wait a moment: it is restarted by itself")
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // an open connection takes it
	} else {
		_ = conn.SetDeadline(time.Now().Add(connectTimeout))
	}
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: unix\r\nConnection: close\r\n\r\n"); err != nil {
		return nil, fmt.Errorf("%s: GET %s: %w", c.name, path, err)
	}
	answer, fds, err := readFDs(conn.(*net.UnixConn))
	if err == nil {
		err = c.readAnswer(answer, out)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: GET %s: %w", c.name, path, err), closeFDs(fds))
	}
	return fds, nil
}

// readFDs reads to the end of the connection.
func readFDs(conn *net.UnixConn) (answer []byte, fds []int, err error) {
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4*maxAnswerFDs))
	for {
		n, oobn, flags, _, err := conn.ReadMsgUnix(buf, oob)
		answer = append(answer, buf[:n]...)
		more, rightsErr := parseRights(oob[:oobn])
		fds = append(fds, more...)
		switch {
		case rightsErr != nil:
			return nil, fds, rightsErr
		case flags&unix.MSG_CTRUNC != 0 || len(answer) > maxAnswerSize:
			return nil, fds, errors.New("the answer is too large")
		case errors.Is(err, io.EOF) || (err == nil && n == 0):
			return answer, fds, nil
		case err != nil:
			return nil, fds, err
		}
	}
}

func parseRights(oob []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		rights, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return fds, err
		}
		fds = append(fds, rights...)
	}
	return fds, nil
}

// readAnswer reads an HTTP answer whole.
func (c *Client) readAnswer(answer []byte, out any) error {
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return readProblem(c.name, resp)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

func closeFDs(fds []int) (err error) {
	for _, fd := range fds {
		err = errors.Join(err, unix.Close(fd))
	}
	return err
}
