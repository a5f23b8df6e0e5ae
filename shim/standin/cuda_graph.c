/* Graphs: nodes of work and their dependencies. Instantiating orders them once; every launch runs all of them with their
 * parameters. */
#include <stdlib.h>
#include <string.h>

#include "cuda_standin.h"

struct node {
  struct object object;
  CUgraph graph;
  struct work work;
  CUnode *needs;
  size_t n_needs;
};

struct graph {
  struct object object;
  CUnode *nodes;
  size_t n;
};

struct graph_exec {
  struct object object;
  struct work *works;
  size_t n;
};

/* CUgraphNodeType of each kind of work */
static const int types[] = {[WORK_EMPTY] = 5, [WORK_KERNEL] = 0, [WORK_COPY] = 1, [WORK_FILL] = 2, [WORK_HOST] = 3};

static CUresult check_graph(CUgraph graph) {
  TRY(driver_ready());
  return object_is(graph, GRAPH) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult push(CUnode **list, size_t *n, CUnode node) {
  CUnode *grown = realloc(*list, (*n + 1) * sizeof *grown);
  NEED(grown, CUDA_ERROR_OUT_OF_MEMORY);
  *list = grown;
  grown[(*n)++] = node;
  return CUDA_SUCCESS;
}

static CUresult add(CUnode *into, CUgraph graph, const CUnode *needs, size_t n, const struct work *work) {
  TRY(check_graph(graph));
  NEED(into && (needs || !n), CUDA_ERROR_INVALID_VALUE);
  for (size_t i = 0; i < n; i++)
    NEED(object_is(needs[i], NODE) && needs[i]->graph == graph, CUDA_ERROR_INVALID_VALUE);
  CUnode node = calloc(1, sizeof *node);
  NEED(node, CUDA_ERROR_OUT_OF_MEMORY);
  node->graph = graph;
  node->work = *work;
  object_add(&node->object, NODE);
  for (size_t i = 0; i < n; i++) TRY(push(&node->needs, &node->n_needs, needs[i]));
  TRY(push(&graph->nodes, &graph->n, node));
  *into = node;
  return CUDA_SUCCESS;
}

CUresult graph_create(CUgraph *into) {
  CUgraph graph = calloc(1, sizeof *graph);
  NEED(graph, CUDA_ERROR_OUT_OF_MEMORY);
  object_add(&graph->object, GRAPH);
  *into = graph;
  return CUDA_SUCCESS;
}

/* Captured work runs in the order of its capture. */
CUresult graph_append(CUgraph graph, const struct work *work) {
  CUnode node, *last = graph->n ? &graph->nodes[graph->n - 1] : NULL;
  return add(&node, graph, last, last ? 1 : 0, work);
}

API cuGraphCreate(CUgraph *into, unsigned flags) {
  TRY(driver_ready());
  NEED(into && !flags, CUDA_ERROR_INVALID_VALUE);
  return graph_create(into);
}
OFFER("cuGraphCreate", 10000, cuGraphCreate);

API cuGraphDestroy(CUgraph graph) {
  TRY(check_graph(graph));
  object_remove(graph, GRAPH);
  for (size_t i = 0; i < graph->n; i++) {
    object_remove(graph->nodes[i], NODE);
    free(graph->nodes[i]->needs);
    free(graph->nodes[i]);
  }
  free(graph->nodes);
  free(graph);
  return CUDA_SUCCESS;
}
OFFER("cuGraphDestroy", 10000, cuGraphDestroy);

/* CUDA_KERNEL_NODE_PARAMS; its second version has more behind. */
struct kernel_node {
  CUfunction function;
  unsigned size[6], shared;
  void **parameters, **extra;
};

static CUresult add_kernel(CUnode *into, CUgraph graph, const CUnode *needs, size_t n, const struct kernel_node *of) {
  struct work work = {.kind = WORK_KERNEL};
  NEED(of, CUDA_ERROR_INVALID_VALUE);
  TRY(launch_prepare(&work.launch, of->function, of->size, of->parameters, of->extra));
  return add(into, graph, needs, n, &work);
}

API cuGraphAddKernelNode(CUnode *into, CUgraph graph, const CUnode *needs, size_t n, const struct kernel_node *of) {
  return add_kernel(into, graph, needs, n, of);
}
OFFER("cuGraphAddKernelNode", 10000, cuGraphAddKernelNode);

API cuGraphAddKernelNode_v2(CUnode *into, CUgraph graph, const CUnode *needs, size_t n, const struct kernel_node *of) {
  TRY(add_kernel(into, graph, needs, n, of));
  return CUDA_SUCCESS;
}
OFFER("cuGraphAddKernelNode", 12000, cuGraphAddKernelNode_v2);

API cuGraphAddMemcpyNode(CUnode *into, CUgraph graph, const CUnode *needs, size_t n, const struct copy_3d *of,
                         CUcontext context) {
  struct work work = {.kind = WORK_COPY};
  NEED(object_is(context, CONTEXT), CUDA_ERROR_INVALID_CONTEXT);
  TRY(copy_from_3d(&work.copy, of));
  return add(into, graph, needs, n, &work);
}
OFFER("cuGraphAddMemcpyNode", 10000, cuGraphAddMemcpyNode);

/* CUDA_MEMSET_NODE_PARAMS */
struct fill_node {
  CUdeviceptr at;
  size_t pitch;
  unsigned value, element;
  size_t width, height;
};

API cuGraphAddMemsetNode(CUnode *into, CUgraph graph, const CUnode *needs, size_t n, const struct fill_node *of,
                         CUcontext context) {
  NEED(object_is(context, CONTEXT), CUDA_ERROR_INVALID_CONTEXT);
  NEED(of && (of->element == 1 || of->element == 2 || of->element == 4), CUDA_ERROR_INVALID_VALUE);
  struct work work = {.kind = WORK_FILL,
                      .fill = {of->at, of->pitch, of->value, of->element, of->width, of->height ? of->height : 1}};
  return add(into, graph, needs, n, &work);
}
OFFER("cuGraphAddMemsetNode", 10000, cuGraphAddMemsetNode);

API cuGraphAddHostNode(CUnode *into, CUgraph graph, const CUnode *needs, size_t n, const struct host_call *of) {
  NEED(of && of->function, CUDA_ERROR_INVALID_VALUE);
  return add(into, graph, needs, n, &(struct work){.kind = WORK_HOST, .host = *of});
}
OFFER("cuGraphAddHostNode", 10000, cuGraphAddHostNode);

API cuGraphAddEmptyNode(CUnode *into, CUgraph graph, const CUnode *needs, size_t n) {
  return add(into, graph, needs, n, &(struct work){.kind = WORK_EMPTY});
}
OFFER("cuGraphAddEmptyNode", 10000, cuGraphAddEmptyNode);

API cuGraphAddDependencies(CUgraph graph, const CUnode *from, const CUnode *to, size_t n) {
  TRY(check_graph(graph));
  NEED(!n || (from && to), CUDA_ERROR_INVALID_VALUE);
  for (size_t i = 0; i < n; i++) {
    NEED(object_is(from[i], NODE) && object_is(to[i], NODE), CUDA_ERROR_INVALID_VALUE);
    NEED(from[i]->graph == graph && to[i]->graph == graph && from[i] != to[i], CUDA_ERROR_INVALID_VALUE);
    TRY(push(&to[i]->needs, &to[i]->n_needs, from[i]));
  }
  return CUDA_SUCCESS;
}
OFFER("cuGraphAddDependencies", 10000, cuGraphAddDependencies);

API cuGraphGetNodes(CUgraph graph, CUnode *into, size_t *n) {
  TRY(check_graph(graph));
  NEED(n, CUDA_ERROR_INVALID_VALUE);
  for (size_t i = 0; into && i < *n; i++) into[i] = i < graph->n ? graph->nodes[i] : NULL;
  *n = into && *n < graph->n ? *n : graph->n;
  return CUDA_SUCCESS;
}
OFFER("cuGraphGetNodes", 10000, cuGraphGetNodes);

API cuGraphNodeGetType(CUnode node, int *type) {
  TRY(driver_ready());
  NEED(type && object_is(node, NODE), CUDA_ERROR_INVALID_VALUE);
  *type = types[node->work.kind];
  return CUDA_SUCCESS;
}
OFFER("cuGraphNodeGetType", 10000, cuGraphNodeGetType);

static size_t index_of(CUgraph graph, CUnode node) {
  size_t i = 0;
  while (graph->nodes[i] != node) i++;
  return i;
}

static bool is_free(CUgraph graph, const bool *done, CUnode node) {
  for (size_t i = 0; i < node->n_needs; i++)
    if (!done[index_of(graph, node->needs[i])]) return false;
  return true;
}

/* Orders every node after its dependencies; false when they form a cycle. */
static bool put_in_order(CUgraph graph, bool *done, struct work *into) {
  size_t n = 0;
  for (bool found = true; found && n < graph->n;) {
    found = false;
    for (size_t i = 0; i < graph->n; i++) {
      if (done[i] || !is_free(graph, done, graph->nodes[i])) continue;
      into[n++] = graph->nodes[i]->work;
      done[i] = found = true;
    }
  }
  return n == graph->n;
}

static CUresult instantiate(CUexec *into, CUgraph graph) {
  CURRENT(context);
  TRY(check_graph(graph));
  NEED(into, CUDA_ERROR_INVALID_VALUE);
  CUexec exec = calloc(1, sizeof *exec);
  bool *done = calloc(graph->n + 1, sizeof *done);
  if (exec) exec->works = calloc(graph->n + 1, sizeof *exec->works);
  CUresult result = !exec || !done || !exec->works                ? CUDA_ERROR_OUT_OF_MEMORY
                    : put_in_order(graph, done, exec->works) ? CUDA_SUCCESS
                                                                   : CUDA_ERROR_INVALID_VALUE;
  free(done);
  if (result == CUDA_SUCCESS) {
    exec->n = graph->n;
    object_add(&exec->object, GRAPH_EXEC);
    *into = exec;
  } else if (exec) {
    free(exec->works);
    free(exec);
  }
  return result;
}

API cuGraphInstantiate_v2(CUexec *into, CUgraph graph, CUnode *wrong, char *log, size_t size) {
  if (wrong) *wrong = NULL;
  if (log && size) *log = 0;
  return instantiate(into, graph);
}
OFFER("cuGraphInstantiate", 11000, cuGraphInstantiate_v2);

API cuGraphInstantiateWithFlags(CUexec *into, CUgraph graph, unsigned long long flags) {
  NEED(flags < 16, CUDA_ERROR_INVALID_VALUE);
  return instantiate(into, graph);
}
OFFER("cuGraphInstantiateWithFlags", 11040, cuGraphInstantiateWithFlags);
OFFER_AS(instantiate_12, "cuGraphInstantiate", 12000, cuGraphInstantiateWithFlags);

/* CUDA_GRAPH_INSTANTIATE_PARAMS */
struct instantiation {
  uint64_t flags;
  CUstream upload;
  CUnode wrong;
  int result;
};

API cuGraphInstantiateWithParams(CUexec *into, CUgraph graph, struct instantiation *how) {
  NEED(how && how->flags < 16, CUDA_ERROR_INVALID_VALUE);
  CUresult result = instantiate(into, graph);
  how->wrong = NULL;
  how->result = result == CUDA_SUCCESS ? 0 : 1;
  return result;
}
OFFER("cuGraphInstantiateWithParams", 12000, cuGraphInstantiateWithParams);

static CUresult check_exec(CUexec exec, CUstream stream) {
  TRY(stream_check(stream));
  return object_is(exec, GRAPH_EXEC) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

API cuGraphLaunch(CUexec exec, CUstream stream) {
  TRY(check_exec(exec, stream));
  for (size_t i = 0; i < exec->n; i++) TRY(stream_submit(stream, &exec->works[i]));
  return CUDA_SUCCESS;
}
OFFER("cuGraphLaunch", 10000, cuGraphLaunch);

API cuGraphUpload(CUexec exec, CUstream stream) {
  TRY(check_exec(exec, stream));
  return CUDA_SUCCESS;
}
OFFER("cuGraphUpload", 11010, cuGraphUpload);

API cuGraphExecDestroy(CUexec exec) {
  TRY(driver_ready());
  NEED(object_remove(exec, GRAPH_EXEC), CUDA_ERROR_INVALID_VALUE);
  free(exec->works);
  free(exec);
  return CUDA_SUCCESS;
}
OFFER("cuGraphExecDestroy", 10000, cuGraphExecDestroy);
