package kubernetes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// TestMain builds the command.
func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// object is what the tests read of any object of a manifest.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	// Secret and ConfigMap.
	StringData map[string]string `yaml:"stringData"`
	Data       map[string]string
	Spec       struct {
		// Service.
		ClusterIP                string `yaml:"clusterIP"`
		PublishNotReadyAddresses bool   `yaml:"publishNotReadyAddresses"`
		Selector                 any
		Ports                    []struct {
			Port       int
			TargetPort string `yaml:"targetPort"`
		}
		// PodDisruptionBudget.
		MaxUnavailable int `yaml:"maxUnavailable"`
		// StatefulSet.
		ServiceName         string `yaml:"serviceName"`
		Replicas            int
		PodManagementPolicy string `yaml:"podManagementPolicy"`
		Template            struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				Containers []container
				Volumes    []struct {
					Name      string
					ConfigMap struct{ Name string } `yaml:"configMap"`
				}
			}
		}
		VolumeClaimTemplates []struct{ Metadata struct{ Name string } } `yaml:"volumeClaimTemplates"`
	}
}

type container struct {
	Args []string
	Env  []struct {
		Name      string
		ValueFrom struct {
			FieldRef struct {
				FieldPath string `yaml:"fieldPath"`
			} `yaml:"fieldRef"`
			SecretKeyRef struct{ Name, Key string } `yaml:"secretKeyRef"`
		} `yaml:"valueFrom"`
	}
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	Readiness    probe `yaml:"readinessProbe"`
	Liveness     probe `yaml:"livenessProbe"`
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// manifest is the objects by kind and name.
type manifest map[string]*object

func readManifest(t *testing.T, file string) manifest {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testkit.Root(), "examples", "kubernetes", file))
	if err != nil {
		t.Fatal(err)
	}
	all := manifest{}
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var o object
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[o.Kind+"/"+o.Metadata.Name] = &o
	}
}

// find returns an object that must be there.
func (m manifest) find(t *testing.T, name string) *object {
	t.Helper()
	if m[name] == nil {
		t.Fatalf("no %s", name)
	}
	return m[name]
}

// TestPartsFitTogether checks what one object says of another, and what the guide says of them.
func TestPartsFitTogether(t *testing.T) {
	m := readManifest(t, "nats.yaml")
	set, headless := m.find(t, "StatefulSet/fraiseql"), m.find(t, "Service/fraiseql-nodes")
	pod := &set.Spec.Template.Spec
	c := &pod.Containers[0]
	if set.Spec.ServiceName != "fraiseql-nodes" || headless.Spec.ClusterIP != "None" || !headless.Spec.PublishNotReadyAddresses {
		t.Error("members do not find one another before they are ready")
	}
	if set.Spec.PodManagementPolicy != "Parallel" || set.Spec.Replicas != 3 || m.find(t, "PodDisruptionBudget/fraiseql").Spec.MaxUnavailable != 1 {
		t.Errorf("%+v", set.Spec)
	}
	for name, o := range m {
		if selector, is := o.Spec.Selector.(map[string]any); is && strings.HasPrefix(name, "Service/") && selector["app"] != set.Spec.Template.Metadata.Labels["app"] {
			t.Errorf("%s selects %v", name, selector)
		}
	}
	ports := map[string]int{}
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	args := strings.Join(c.Args, " ")
	if !strings.Contains(args, fmt.Sprintf("--listen=0.0.0.0:%d", ports["http"])) || !strings.Contains(args, fmt.Sprintf("cluster_listen=0.0.0.0:%d", ports["routes"])) ||
		headless.Spec.Ports[0].Port != ports["routes"] || m.find(t, "Service/fraiseql").Spec.Ports[0].TargetPort != "http" {
		t.Errorf("ports %v", ports)
	}
	for i := range set.Spec.Replicas {
		if route := fmt.Sprintf("fraiseql-%d.%s:%d", i, set.Spec.ServiceName, ports["routes"]); !strings.Contains(args, route) {
			t.Errorf("no route to %s", route)
		}
	}
	if c.Readiness.HTTPGet.Path != "/readyz" || c.Liveness.HTTPGet.Path != "/healthz" || c.Readiness.HTTPGet.Port != "http" || c.Liveness.HTTPGet.Port != "http" {
		t.Errorf("probes %+v %+v", c.Readiness, c.Liveness)
	}
	if pod.Volumes[0].ConfigMap.Name != "fraiseql" || m["ConfigMap/fraiseql"] == nil {
		t.Error("no configuration")
	}
	for _, mount := range c.VolumeMounts {
		known := slices.ContainsFunc(set.Spec.VolumeClaimTemplates, func(v struct{ Metadata struct{ Name string } }) bool { return v.Metadata.Name == mount.Name })
		if !known && mount.Name != pod.Volumes[0].Name {
			t.Errorf("volume %s is nowhere", mount.Name)
		}
	}
}

// environment is what Kubernetes would set for a pod.
func (m manifest) environment(t *testing.T, c *container, podName string) map[string]string {
	t.Helper()
	env := map[string]string{}
	for _, e := range c.Env {
		from := e.ValueFrom
		switch {
		case from.FieldRef.FieldPath == "metadata.name":
			env[e.Name] = podName
		case from.SecretKeyRef.Name != "":
			value, ok := m.find(t, "Secret/"+from.SecretKeyRef.Name).StringData[from.SecretKeyRef.Key]
			if !ok {
				t.Errorf("secret %s has no %s", from.SecretKeyRef.Name, from.SecretKeyRef.Key)
			}
			env[e.Name] = value
		default:
			t.Errorf("variable %s has no value", e.Name)
		}
	}
	return env
}

var reference = regexp.MustCompile(`\$\((\w+)\)`)

// arguments are the container's, with variables as Kubernetes puts them in.
func arguments(t *testing.T, c *container, env map[string]string) []string {
	t.Helper()
	var args []string
	for _, arg := range c.Args {
		args = append(args, reference.ReplaceAllStringFunc(arg, func(ref string) string {
			value, ok := env[reference.FindStringSubmatch(ref)[1]]
			if !ok {
				t.Errorf("%s is not defined", ref)
			}
			return value
		}))
	}
	return args
}
