// See abi/abitest/README.md.
package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	eshost "eshost/sdk/go"
)

func init() { eshost.Handle(handle) }

func main() {}

func handle(e *eshost.Event) error {
	data := e.DataText()
	switch e.Type() {
	case "set":
		return write(e, data)
	case "get":
		document, found, err := eshost.StateGet("source", data)
		if err != nil {
			return err
		}
		if !found {
			return write(e, `"none"`)
		}
		return eshost.StateSet("docs", e.Stream(), document)
	case "delete":
		return eshost.StateDelete("docs", e.Stream())
	case "scan":
		return scan(e, strings.Split(data, ","))
	case "emit":
		return eshost.Emit(eshost.NewEvent{
			Stream: "out", StreamType: "kind", Type: "Emitted", Data: e.Data(), Metadata: []byte(`{"n":1}`), ContentType: "text/plain",
		})
	case "log":
		eshost.LogDebug(data)
		eshost.LogInfo(data)
		eshost.LogWarn(data)
		eshost.LogError(data)
		return nil
	case "config":
		value, found, err := eshost.ConfigGet(data)
		if err != nil {
			return err
		}
		if !found {
			value = "none"
		}
		return write(e, `"`+value+`"`)
	case "event":
		return write(e, describe(e))
	case "clock":
		return write(e, strconv.FormatInt(time.Now().UnixMicro(), 10))
	case "random":
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		return write(e, fmt.Sprintf(`"%x"`, b))
	case "bounds":
		return write(e, []string{"1", "2"}[len(data)])
	}
	return fail(e, data)
}

func fail(e *eshost.Event, text string) error {
	if err := write(e, "1"); err != nil {
		return err
	}
	switch e.Type() {
	case "retry":
		return eshost.Retry(text)
	case "reject":
		return eshost.Reject(text)
	case "error":
		return errors.New(text)
	}
	panic(text) // panics here
}

func write(e *eshost.Event, document string) error {
	return eshost.StateSet("docs", e.Stream(), []byte(document))
}

func scan(e *eshost.Event, arguments []string) error {
	limit, err := strconv.Atoi(arguments[2])
	if err != nil {
		return err
	}
	documents, err := eshost.StateScan("source", arguments[0], arguments[1], limit)
	if err != nil {
		return err
	}
	var keys strings.Builder
	for _, document := range documents {
		fmt.Fprintf(&keys, "%s:%d ", document.Key, len(document.Data))
	}
	return write(e, `"`+keys.String()+`"`)
}

func describe(e *eshost.Event) string {
	return fmt.Sprintf(`["%s","%s","%s","%s","%s","%s","%s",%d,%d,%d,%d]`,
		e.ID(), e.Type(), e.Stream(), e.StreamType(), e.DataText(), e.Metadata(), e.ContentType(),
		e.Position(), e.Version(), e.Time().UnixMicro(), e.Attempt())
}
