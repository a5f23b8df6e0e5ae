/* Streams and events. Work is done when the call that queues it returns, so a stream is always idle. */
#include <stdlib.h>
#include <time.h>

#include "cuda_standin.h"

enum { DISABLE_TIMING = 2 };

struct event {
  struct object object;
  unsigned flags;
  uint64_t recorded_ns; /* 0 = never */
  CUgraph capture;      /* recorded in a stream that was captured into this graph */
};

/* Streams and events that took part in a capture are ordinary again. */
static void end_capture(struct object *object, void *graph) {
  if (object->kind == STREAM && ((CUstream)object)->capture == graph) ((CUstream)object)->capture = NULL;
  if (object->kind == EVENT && ((CUevent)object)->capture == graph) ((CUevent)object)->capture = NULL;
}

static bool captured(CUstream stream) { return (uintptr_t)stream > 2 && stream->capture; }

CUresult stream_submit(CUstream stream, const struct work *work) {
  return captured(stream) ? graph_append(stream->capture, work) : work_do(work);
}

static CUresult make_stream(CUstream *into, unsigned flags, int priority) {
  CURRENT(context);
  NEED(into && flags <= 1, CUDA_ERROR_INVALID_VALUE);
  CUstream stream = calloc(1, sizeof *stream);
  NEED(stream, CUDA_ERROR_OUT_OF_MEMORY);
  stream->context = context;
  stream->flags = flags;
  stream->priority = priority;
  object_add(&stream->object, STREAM);
  *into = stream;
  return CUDA_SUCCESS;
}

API cuStreamCreate(CUstream *into, unsigned flags) { return make_stream(into, flags, 0); }
OFFER("cuStreamCreate", 2000, cuStreamCreate);

API cuStreamCreateWithPriority(CUstream *into, unsigned flags, int priority) {
  return make_stream(into, flags, priority < -5 ? -5 : priority > 0 ? 0 : priority);
}
OFFER("cuStreamCreateWithPriority", 5050, cuStreamCreateWithPriority);

API cuStreamDestroy_v2(CUstream stream) {
  CURRENT(context);
  NEED((uintptr_t)stream > 2 && object_remove(stream, STREAM), CUDA_ERROR_INVALID_HANDLE);
  free(stream);
  return CUDA_SUCCESS;
}
OFFER("cuStreamDestroy", 4000, cuStreamDestroy_v2);

/* A captured stream does nothing, so there is nothing to wait for. */
API cuStreamSynchronize(CUstream stream) {
  TRY(stream_check(stream));
  return captured(stream) ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}
OFFER("cuStreamSynchronize", 2000, cuStreamSynchronize);

API cuStreamQuery(CUstream stream) {
  TRY(stream_check(stream));
  return captured(stream) ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}
OFFER("cuStreamQuery", 2000, cuStreamQuery);

API cuStreamGetCtx(CUstream stream, CUcontext *into) {
  NEED(into, CUDA_ERROR_INVALID_VALUE);
  TRY(stream_check(stream));
  if ((uintptr_t)stream <= 2) return context_current(into);
  *into = stream->context;
  return CUDA_SUCCESS;
}
OFFER("cuStreamGetCtx", 9020, cuStreamGetCtx);

API cuStreamGetFlags(CUstream stream, unsigned *flags) {
  NEED(flags, CUDA_ERROR_INVALID_VALUE);
  TRY(stream_check(stream));
  *flags = (uintptr_t)stream <= 2 ? 0 : stream->flags;
  return CUDA_SUCCESS;
}
OFFER("cuStreamGetFlags", 5050, cuStreamGetFlags);

API cuStreamGetPriority(CUstream stream, int *priority) {
  NEED(priority, CUDA_ERROR_INVALID_VALUE);
  TRY(stream_check(stream));
  *priority = (uintptr_t)stream <= 2 ? 0 : stream->priority;
  return CUDA_SUCCESS;
}
OFFER("cuStreamGetPriority", 5050, cuStreamGetPriority);

API cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  TRY(stream_check(stream));
  NEED(flags <= 1, CUDA_ERROR_INVALID_VALUE);
  NEED(object_is(event, EVENT), CUDA_ERROR_INVALID_HANDLE);
  if (event->capture && (uintptr_t)stream > 2) stream->capture = event->capture; /* it joins the capture */
  return CUDA_SUCCESS;
}
OFFER("cuStreamWaitEvent", 3020, cuStreamWaitEvent);

API cuLaunchHostFunc(CUstream stream, void (*function)(void *), void *data) {
  TRY(stream_check(stream));
  NEED(function, CUDA_ERROR_INVALID_VALUE);
  return stream_submit(stream, &(struct work){.kind = WORK_HOST, .host = {function, data}});
}
OFFER("cuLaunchHostFunc", 10000, cuLaunchHostFunc);

/* CUstreamCaptureMode: global, per thread, relaxed. Other threads' unsafe calls are not detected. */
API cuStreamBeginCapture_v2(CUstream stream, int mode) {
  TRY(stream_check(stream));
  NEED(mode >= 0 && mode < 3, CUDA_ERROR_INVALID_VALUE);
  NEED((uintptr_t)stream > 2, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  NEED(!stream->capture, CUDA_ERROR_INVALID_VALUE);
  return graph_create(&stream->capture);
}
OFFER("cuStreamBeginCapture", 10010, cuStreamBeginCapture_v2);

API cuStreamEndCapture(CUstream stream, CUgraph *into) {
  TRY(stream_check(stream));
  NEED(into, CUDA_ERROR_INVALID_VALUE);
  NEED(captured(stream), CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
  *into = stream->capture;
  object_each(end_capture, *into);
  return CUDA_SUCCESS;
}
OFFER("cuStreamEndCapture", 10000, cuStreamEndCapture);

API cuStreamIsCapturing(CUstream stream, int *status) {
  TRY(stream_check(stream));
  NEED(status, CUDA_ERROR_INVALID_VALUE);
  *status = captured(stream);
  return CUDA_SUCCESS;
}
OFFER("cuStreamIsCapturing", 10000, cuStreamIsCapturing);

API cuStreamAddCallback(CUstream stream, void (*callback)(CUstream, CUresult, void *), void *data, unsigned flags) {
  TRY(stream_check(stream));
  NEED(callback && !flags, CUDA_ERROR_INVALID_VALUE);
  callback(stream, CUDA_SUCCESS, data);
  return CUDA_SUCCESS;
}
OFFER("cuStreamAddCallback", 5000, cuStreamAddCallback);

API cuEventCreate(CUevent *into, unsigned flags) {
  CURRENT(context);
  NEED(into && flags < 8, CUDA_ERROR_INVALID_VALUE);
  CUevent event = calloc(1, sizeof *event);
  NEED(event, CUDA_ERROR_OUT_OF_MEMORY);
  event->flags = flags;
  object_add(&event->object, EVENT);
  *into = event;
  return CUDA_SUCCESS;
}
OFFER("cuEventCreate", 2000, cuEventCreate);

API cuEventDestroy_v2(CUevent event) {
  CURRENT(context);
  NEED(object_remove(event, EVENT), CUDA_ERROR_INVALID_HANDLE);
  free(event);
  return CUDA_SUCCESS;
}
OFFER("cuEventDestroy", 4000, cuEventDestroy_v2);

API cuEventRecord(CUevent event, CUstream stream) {
  struct timespec now;
  TRY(stream_check(stream));
  NEED(object_is(event, EVENT), CUDA_ERROR_INVALID_HANDLE);
  event->capture = captured(stream) ? stream->capture : NULL;
  if (event->capture) return CUDA_SUCCESS;
  clock_gettime(CLOCK_MONOTONIC, &now);
  event->recorded_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
  return CUDA_SUCCESS;
}
OFFER("cuEventRecord", 2000, cuEventRecord);

API cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned flags) {
  NEED(flags <= 1, CUDA_ERROR_INVALID_VALUE);
  return cuEventRecord(event, stream);
}
OFFER("cuEventRecordWithFlags", 11010, cuEventRecordWithFlags);

static CUresult check_event(CUevent event) {
  CURRENT(context);
  return object_is(event, EVENT) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

API cuEventQuery(CUevent event) {
  TRY(check_event(event));
  return CUDA_SUCCESS;
}
OFFER("cuEventQuery", 2000, cuEventQuery);

API cuEventSynchronize(CUevent event) { return check_event(event); }
OFFER("cuEventSynchronize", 2000, cuEventSynchronize);

static CUresult elapsed(float *milliseconds, CUevent start, CUevent end) {
  TRY(check_event(start));
  TRY(check_event(end));
  NEED(milliseconds, CUDA_ERROR_INVALID_VALUE);
  NEED(!((start->flags | end->flags) & DISABLE_TIMING), CUDA_ERROR_INVALID_HANDLE);
  NEED(start->recorded_ns && end->recorded_ns, CUDA_ERROR_INVALID_HANDLE);
  *milliseconds = (float)((double)((int64_t)(end->recorded_ns - start->recorded_ns)) / 1e6);
  return CUDA_SUCCESS;
}

API cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) { return elapsed(milliseconds, start, end); }
OFFER("cuEventElapsedTime", 2000, cuEventElapsedTime);

API cuEventElapsedTime_v2(float *milliseconds, CUevent start, CUevent end) {
  TRY(elapsed(milliseconds, start, end));
  return CUDA_SUCCESS;
}
OFFER("cuEventElapsedTime", 12080, cuEventElapsedTime_v2);
