// Package bridge reaches the worker core, linked as the C library libdurably (bridge-c): bytes go in by calls that
// return at once, and everything that the core has to say is taken by one goroutine, woken through a pipe.
package bridge

/*
#cgo LDFLAGS: -ldurably -lm
#cgo linux LDFLAGS: -ldl -lpthread
#cgo darwin LDFLAGS: -framework Security -framework CoreFoundation
#include <stdlib.h>
#include "durably.h"
*/
import "C"

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"durably.dev/sdk/internal/core"
	"google.golang.org/protobuf/proto"
)

// Error is a CallError of the core: a gRPC status code, a message, and the encoded google.rpc.Status if there was one.
type Error struct {
	Code    int32
	Message string
	Status  []byte
}

func (e *Error) Error() string { return e.Message }

// content is what one delivery brings.
type content struct {
	kind  C.DurablyKind
	bytes []byte
}

func (c content) result() ([]byte, error) {
	if c.kind != C.DURABLY_KIND_ERROR {
		return c.bytes, nil
	}
	var failed core.CallError
	if err := proto.Unmarshal(c.bytes, &failed); err != nil {
		return nil, err
	}
	return nil, &Error{failed.Code, failed.Message, failed.Status}
}

// port is the process's: all clients share its threads.
type port struct {
	handle C.DurablyPort
	wakeUp *os.File

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan content
	workers map[uint64]func([]byte)
}

var shared = sync.OnceValues(open)

func open() (*port, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	// The library keeps a duplicate, which shares this file's not blocking.
	defer writer.Close()
	p := &port{wakeUp: reader, waiting: map[uint64]chan content{}, workers: map[uint64]func([]byte){}}
	raw, err := writer.SyscallConn()
	if err != nil {
		return nil, err
	}
	var status C.DurablyStatus
	err = raw.Control(func(descriptor uintptr) {
		status = C.durably_port_new_fd(2, C.int32_t(descriptor), &p.handle)
	})
	if err := errors.Join(err, check(status)); err != nil {
		return nil, err
	}
	if filter := os.Getenv("DURABLY_LOG"); filter != "" {
		text := C.CString(filter)
		defer C.free(unsafe.Pointer(text))
		C.durably_log_to_stderr(text, nil)
	}
	go p.run()
	return p, nil
}

// check turns a status into an error.
func check(status C.DurablyStatus) error {
	if status == C.DURABLY_STATUS_OK {
		return nil
	}
	return errors.New("libdurably: " + C.GoString(C.durably_status_text(C.int32_t(status))))
}

// run takes deliveries for as long as the process lives.
func (p *port) run() {
	wakeUps := make([]byte, 64)
	buffer := make([]uint64, 8192)
	for {
		if _, err := p.wakeUp.Read(wakeUps); err != nil {
			return
		}
		for more := true; more; {
			buffer, more = p.drain(buffer)
		}
	}
}

// drain hands out what the buffer takes; the buffer grows with what has to fit.
func (p *port) drain(buffer []uint64) ([]uint64, bool) {
	var length C.size_t
	start := (*C.uint8_t)(unsafe.Pointer(&buffer[0]))
	status := C.durably_port_drain(p.handle, start, C.size_t(len(buffer)*8), &length)
	switch status {
	case C.DURABLY_STATUS_OK, C.DURABLY_STATUS_MORE:
		p.deliver(unsafe.Slice((*byte)(unsafe.Pointer(&buffer[0])), int(length)))
		return buffer, status == C.DURABLY_STATUS_MORE
	case C.DURABLY_STATUS_TOO_SMALL:
		return make([]uint64, length/8+1), true
	default:
		return buffer, false
	}
}

const headerSize = int(unsafe.Sizeof(C.DurablyHeader{}))

func (p *port) deliver(deliveries []byte) {
	for len(deliveries) >= headerSize {
		to := binary.NativeEndian.Uint64(deliveries)
		kind := binary.NativeEndian.Uint32(deliveries[8:])
		length := int(binary.NativeEndian.Uint32(deliveries[12:]))
		bytes := deliveries[headerSize : headerSize+length]
		deliveries = deliveries[headerSize+(length+7)/8*8:]
		p.mu.Lock()
		worker, waiting := p.workers[to], p.waiting[to]
		delete(p.waiting, to)
		p.mu.Unlock()
		switch {
		case worker != nil:
			// Decoded before it returns, so that the buffer can be used again.
			worker(bytes)
		case waiting != nil:
			waiting <- content{C.DurablyKind(kind), append([]byte(nil), bytes...)}
		case kind == C.DURABLY_KIND_CLIENT:
			// Whoever asked for it has given up.
			C.durably_client_free(C.DurablyClient{id: C.uint64_t(binary.NativeEndian.Uint64(bytes))})
		}
	}
}

func (p *port) number() uint64 {
	p.next++
	return p.next
}

// perform begins an operation and waits for its delivery, or gives it up with the context.
func (p *port) perform(ctx context.Context, begin func(to C.uint64_t) C.DurablyStatus) (content, error) {
	answer := make(chan content, 1)
	p.mu.Lock()
	to := p.number()
	p.waiting[to] = answer
	p.mu.Unlock()
	if err := check(begin(C.uint64_t(to))); err != nil {
		p.forget(to)
		return content{}, err
	}
	select {
	case got := <-answer:
		return got, nil
	case <-ctx.Done():
		p.forget(to)
		C.durably_port_abort(p.handle, C.uint64_t(to))
		return content{}, ctx.Err()
	}
}

func (p *port) forget(to uint64) {
	p.mu.Lock()
	delete(p.waiting, to)
	p.mu.Unlock()
}

func pointer(bytes []byte) (*C.uint8_t, C.size_t) {
	return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(bytes))), C.size_t(len(bytes))
}

// Client is a connection.
type Client struct {
	port   *port
	handle C.DurablyClient
}

// Connect opens a connection.
func Connect(ctx context.Context, options *core.ConnectOptions) (*Client, error) {
	p, err := shared()
	if err != nil {
		return nil, err
	}
	encoded, err := proto.Marshal(options)
	if err != nil {
		return nil, err
	}
	got, err := p.perform(ctx, func(to C.uint64_t) C.DurablyStatus {
		data, length := pointer(encoded)
		return C.durably_connect(p.handle, to, data, length)
	})
	if err != nil {
		return nil, err
	}
	id, err := got.result()
	if err != nil {
		return nil, err
	}
	return &Client{p, C.DurablyClient{id: C.uint64_t(binary.NativeEndian.Uint64(id))}}, nil
}

// Call carries out one call of Temporal's API and returns the encoded response.
func (c *Client) Call(ctx context.Context, call *core.Call) ([]byte, error) {
	return c.ask(ctx, call, func(to C.uint64_t, data *C.uint8_t, length C.size_t) C.DurablyStatus {
		return C.durably_client_call(c.handle, to, data, length)
	})
}

// AwaitWorkflow waits for a workflow's end.
func (c *Client) AwaitWorkflow(ctx context.Context, request *core.AwaitWorkflow) (*core.WorkflowResult, error) {
	bytes, err := c.ask(ctx, request, func(to C.uint64_t, data *C.uint8_t, length C.size_t) C.DurablyStatus {
		return C.durably_client_await_workflow(c.handle, to, data, length)
	})
	if err != nil {
		return nil, err
	}
	result := &core.WorkflowResult{}
	return result, proto.Unmarshal(bytes, result)
}

func (c *Client) ask(
	ctx context.Context, message proto.Message, begin func(C.uint64_t, *C.uint8_t, C.size_t) C.DurablyStatus,
) ([]byte, error) {
	encoded, err := proto.Marshal(message)
	if err != nil {
		return nil, err
	}
	got, err := c.port.perform(ctx, func(to C.uint64_t) C.DurablyStatus {
		data, length := pointer(encoded)
		return begin(to, data, length)
	})
	if err != nil {
		return nil, err
	}
	return got.result()
}

// Close disconnects; an embedded server has everything on disk when it returns.
func (c *Client) Close() error {
	_, err := c.port.perform(context.Background(), func(to C.uint64_t) C.DurablyStatus {
		return C.durably_client_disconnect(c.handle, to)
	})
	return errors.Join(err, check(C.durably_client_free(c.handle)))
}

// Worker is a worker of one task queue.
type Worker struct {
	port   *port
	handle C.DurablyWorker
	to     uint64
}

// StartWorker starts a worker. Its events are handed to handle one after the other; handle must not wait.
func (c *Client) StartWorker(options *core.WorkerOptions, handle func(*core.WorkerEvent)) (*Worker, error) {
	encoded, err := proto.Marshal(options)
	if err != nil {
		return nil, err
	}
	p := c.port
	p.mu.Lock()
	to := p.number()
	p.workers[to] = func(bytes []byte) {
		event := &core.WorkerEvent{}
		if err := proto.Unmarshal(bytes, event); err != nil {
			// The library speaks another contract than this package was generated from.
			panic(fmt.Sprintf("libdurably sent an event that can't be read: %v", err))
		}
		handle(event)
	}
	p.mu.Unlock()
	w := &Worker{port: p, to: to}
	data, length := pointer(encoded)
	var refused C.DurablyError
	status := C.durably_worker_start(c.handle, C.uint64_t(to), data, length, &w.handle, &refused)
	if err := refusal(status, &refused); err != nil {
		w.forget()
		return nil, err
	}
	return w, nil
}

func refusal(status C.DurablyStatus, refused *C.DurablyError) error {
	if status == C.DURABLY_STATUS_INVALID_ARGUMENT {
		return &Error{Code: int32(refused.code), Message: C.GoString(&refused.message[0])}
	}
	return check(status)
}

// Request passes an answer or a wish to the core; it never waits.
func (w *Worker) Request(request *core.WorkerRequest) error {
	encoded, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	data, length := pointer(encoded)
	return check(C.durably_worker_request(w.handle, data, length, nil))
}

// Free lets go of a worker whose last event has come.
func (w *Worker) Free() error {
	w.forget()
	return check(C.durably_worker_free(w.handle))
}

func (w *Worker) forget() {
	w.port.mu.Lock()
	delete(w.port.workers, w.to)
	w.port.mu.Unlock()
}
