// Package eventjson reads and writes events as JSON text: what `eshost append` and the HTTP API take,
// and what `eshost events --json` and the API print.
//
// The input is lines of one JSON object each, or one JSON array of such objects. Blank lines, a byte
// order mark and CRLF are allowed. An object is an event in eshost's own form:
//
//	stream            text, required
//	type              text, required
//	data              any JSON value, kept byte for byte; or data_base64, any bytes
//	stream_type       text
//	id                text; a line with an id is stored once, however often it is appended
//	expected_version  the version of the stream before this event, "none" or "any" (the default)
//	metadata          an object
//	content_type      text, application/json by default
//	time              RFC 3339
//
// position and version say where an event was in the log it was read from. They are taken, so that what
// `events --json` prints can be appended again, and play no part: the log gives new ones.
//
// An object with specversion is a CloudEvent 1.0 in the structured JSON form:
//
//	subject, or else source    stream
//	type, id, time             type, id, time
//	datacontenttype            content_type
//	data                       data: JSON as it is; text, where datacontenttype is not JSON, as its characters
//	data_base64                data, any bytes
//	neither                    data null
//	source, dataschema and     members of metadata under their own names
//	extension attributes
//
// Where the stream is known already, as in the path of an HTTP request, an event need not name it; a
// CloudEvent's subject that is another name then becomes metadata too.
//
// A CloudEvent is unique by source and id; here the id alone must be. An id that two sources share for
// different events is refused as a conflict when it is appended, never merged.
package eventjson
