package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"sort"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"
)

// annotation and its value are NVSentinel's: {"devices":{"nvidia.com/gpu":["GPU-..."]}}.
const (
	annotation   = "dgxc.nvidia.com/devices"
	podResources = "unix:///var/lib/kubelet/pod-resources/kubelet.sock"
)

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// annotate writes each GPU pod's devices on it. The kubelet tells who holds what only when asked, so it is asked at
// every change of a pod of this node; a pod's status changes once more after its devices were allocated.
func annotate(ctx context.Context, node string) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	connection, err := grpc.NewClient(podResources, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	lister := podresources.NewPodResourcesListerClient(connection)
	// An API server that is away for a while must not end the plugin: the kubelet would take the node's GPUs away.
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		if err := follow(ctx, client, lister, node); err != nil {
			log.Printf("annotations: %v; trying again", err)
		}
	}, time.Second)
	return ctx.Err()
}

// follow lists once and watches until the API server ends the watch, as it does now and then.
func follow(ctx context.Context, client metadata.Interface, lister podresources.PodResourcesListerClient, node string) error {
	here := meta.ListOptions{FieldSelector: "spec.nodeName=" + node}
	listed, err := client.Resource(pods).List(ctx, here)
	if err != nil {
		return err
	}
	if err := annotateAll(ctx, client, lister); err != nil {
		return err
	}
	here.ResourceVersion = listed.ResourceVersion
	watch, err := client.Resource(pods).Watch(ctx, here)
	if err != nil {
		return err
	}
	defer watch.Stop()
	for range watch.ResultChan() {
		if err := annotateAll(ctx, client, lister); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func annotateAll(ctx context.Context, client metadata.Interface, lister podresources.PodResourcesListerClient) error {
	answer, err := lister.List(ctx, &podresources.ListPodResourcesRequest{})
	if err != nil {
		return err
	}
	var failed error
	for _, pod := range answer.PodResources {
		if held := devicesOf(pod); len(held) > 0 {
			failed = errors.Join(failed, annotateOne(ctx, client, pod, held))
		}
	}
	return failed
}

func devicesOf(pod *podresources.PodResources) []string {
	var held []string
	for _, container := range pod.Containers {
		for _, device := range container.Devices {
			if device.ResourceName == resource {
				held = append(held, device.DeviceIds...)
			}
		}
	}
	sort.Strings(held)
	return held
}

func annotateOne(ctx context.Context, client metadata.Interface, pod *podresources.PodResources, held []string) error {
	value, err := json.Marshal(map[string]any{"devices": map[string][]string{resource: held}})
	if err != nil {
		return err
	}
	api := client.Resource(pods).Namespace(pod.Namespace)
	now, err := api.Get(ctx, pod.Name, meta.GetOptions{})
	if apierrors.IsNotFound(err) || (err == nil && now.Annotations[annotation] == string(value)) {
		return nil
	}
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": now.UID, "annotations": map[string]string{annotation: string(value)}}})
	if err != nil {
		return err
	}
	_, err = api.Patch(ctx, pod.Name, types.MergePatchType, patch, meta.PatchOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // gone, or another pod of that name: its own change comes
	}
	if err == nil {
		log.Printf("%s/%s holds %v", pod.Namespace, pod.Name, held)
	}
	return err
}
