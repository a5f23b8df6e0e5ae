package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	plugin "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	resource  = "nvidia.com/gpu"
	folder    = "/run/standin-gpus"
	inventory = folder + "/gpus.json"
	fleet     = folder + "/gpus.txt"
	driver    = folder + "/lib"
	endpoint  = "standin-gpu.sock"
)

type gpu struct {
	UUID string `json:"uuid"`
	PCI  string `json:"pci"`
}

func readGPUs(path string) ([]gpu, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var listed struct {
		GPUs []gpu `json:"gpus"`
	}
	if err := json.Unmarshal(raw, &listed); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return listed.GPUs, nil
}

// devices is the device plugin's service. Stand-in GPUs are always healthy: NVIDIA's plugin marks a GPU unhealthy on
// some XIDs that it hears from NVML, and is told not to in NVSentinel's clusters, where the responder decides.
type devices struct {
	plugin.UnimplementedDevicePluginServer
	gpus []gpu
	done <-chan struct{}
}

// serve starts the service on a new socket and registers it; the function that it returns ends it.
func serve(ctx context.Context, gpus []gpu) (func(), error) {
	socket := filepath.Join(plugin.DevicePluginPath, endpoint)
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	serving, cancel := context.WithCancel(ctx)
	server := grpc.NewServer()
	plugin.RegisterDevicePluginServer(server, &devices{gpus: gpus, done: serving.Done()})
	go func() {
		if err := server.Serve(listener); err != nil {
			log.Fatal(err)
		}
	}()
	stop := func() { cancel(); server.Stop() }
	if err := register(ctx); err != nil {
		stop()
		return nil, err
	}
	log.Printf("registered %d GPUs", len(gpus))
	return stop, nil
}

func register(ctx context.Context) error {
	connection, err := grpc.NewClient("unix://"+plugin.KubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	request := &plugin.RegisterRequest{Version: plugin.Version, Endpoint: endpoint, ResourceName: resource}
	_, err = plugin.NewRegistrationClient(connection).Register(ctx, request)
	return err
}

func (d *devices) GetDevicePluginOptions(context.Context, *plugin.Empty) (*plugin.DevicePluginOptions, error) {
	return &plugin.DevicePluginOptions{}, nil
}

func (d *devices) ListAndWatch(_ *plugin.Empty, stream grpc.ServerStreamingServer[plugin.ListAndWatchResponse]) error {
	list := &plugin.ListAndWatchResponse{}
	for _, gpu := range d.gpus {
		list.Devices = append(list.Devices, &plugin.Device{ID: gpu.UUID, Health: plugin.Healthy})
	}
	if err := stream.Send(list); err != nil {
		return err
	}
	select {
	case <-d.done:
	case <-stream.Context().Done():
	}
	return nil
}

func (d *devices) Allocate(_ context.Context, asked *plugin.AllocateRequest) (*plugin.AllocateResponse, error) {
	answer := &plugin.AllocateResponse{}
	for _, container := range asked.ContainerRequests {
		answer.ContainerResponses = append(answer.ContainerResponses, &plugin.ContainerAllocateResponse{
			Envs: map[string]string{
				"NVIDIA_VISIBLE_DEVICES": strings.Join(container.DevicesIds, ","),
				"OFFBUS_STANDIN_GPUS":    fleet,
				"LD_LIBRARY_PATH":        driver, // NVIDIA's runtime writes the linker's cache instead
			},
			Mounts: []*plugin.Mount{
				{ContainerPath: fleet, HostPath: fleet, ReadOnly: true},
				{ContainerPath: driver, HostPath: driver, ReadOnly: true},
			},
		})
	}
	return answer, nil
}
