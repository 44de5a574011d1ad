package push

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// maxAnswer is what is read of a provider's answer.
const maxAnswer = 16 << 10

// post sends JSON and returns the status and what came with it.
func post(ctx context.Context, client *http.Client, url string, header map[string]string, body any) (int, []byte, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(data))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	return do(client, req)
}

func do(client *http.Client, req *http.Request) (int, []byte, error) {
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, text, err
}

// judge turns a status into what the pusher does next: what is the provider's trouble is tried
// again, what is the note's is not.
func judge(status int, why string) error {
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusGone:
		return fmt.Errorf("%w: %s", ErrGone, why)
	case status == http.StatusTooManyRequests || status >= 500 || status == http.StatusRequestTimeout:
		return fmt.Errorf("the provider answered %d %s", status, why)
	}
	return fmt.Errorf("%w: %d %s", ErrRefused, status, why)
}
