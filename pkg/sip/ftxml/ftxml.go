// Package ftxml reads and writes the documents that tell of a file to fetch over HTTP, as RCS
// defines them and Linphone sends them.
package ftxml

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/sip/xmltree"
)

// MediaType is the type of such a document.
const MediaType = "application/vnd.gsma.rcs-ft-http+xml"

// namespace is the document's.
const namespace = "urn:gsma:params:xml:ns:rcs:rcs:fthttp"

// Limits of a document.
const (
	maxFiles = 16
	maxName  = 255  // bytes of a file name, as file systems have it
	maxURL   = 2048 // bytes
)

// ErrFile is the error of a document that tells of no file.
var ErrFile = errors.New("not a document of a file transfer")

// File is one file that can be fetched.
type File struct {
	Name        string
	ContentType string
	Size        int64
	URL         string
	Until       time.Time // when it cannot be fetched any more; zero if it is not said
}

// Parse reads a document. A thumbnail is no file of its own.
func Parse(doc []byte) (files []File, err error) {
	root, err := xmltree.Parse(doc)
	if err != nil {
		return nil, err
	}
	if root.Name != "file" {
		return nil, ErrFile
	}
	for _, info := range root.Children {
		if info.Name != "file-info" || info.Attr("type") == "thumbnail" {
			continue
		}
		f, ok := parseInfo(info)
		if !ok || len(files) == maxFiles {
			return nil, ErrFile
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, ErrFile
	}
	return files, nil
}

func parseInfo(info *xmltree.Element) (f File, ok bool) {
	data := info.Child("data")
	f = File{Name: info.ChildText("file-name"), ContentType: info.ChildText("content-type"), URL: data.Attr("url")}
	size, err := strconv.ParseInt(info.ChildText("file-size"), 10, 64)
	if err != nil || size < 0 {
		return f, false
	}
	f.Size = size
	if t, err := time.Parse(time.RFC3339, data.Attr("until")); err == nil {
		f.Until = t.UTC()
	}
	return f, f.URL != "" && len(f.URL) <= maxURL && len(f.Name) <= maxName && !strings.ContainsAny(f.URL, " \r\n\t")
}

// Append appends the document of one file, as Linphone's file server answers with it.
func (f *File) Append(dst []byte) []byte {
	dst = append(dst, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<file xmlns="`+namespace+`"><file-info type="file"><file-size>`...)
	dst = strconv.AppendInt(dst, f.Size, 10)
	dst = append(dst, "</file-size><file-name>"...)
	dst = xmltree.AppendText(dst, f.Name)
	dst = append(dst, "</file-name><content-type>"...)
	dst = xmltree.AppendText(dst, f.ContentType)
	dst = append(dst, `</content-type><data url="`...)
	dst = xmltree.AppendText(dst, f.URL)
	dst = append(dst, `" until="`...)
	dst = f.Until.UTC().AppendFormat(dst, "2006-01-02T15:04:05Z")
	return append(dst, `"/></file-info></file>`...)
}
