"""Discovery: which GPUs a node has, and how their addresses are spelt."""

import json

import pytest

from offbus_agent.gpus import Gpu, GpuDiscoveryError, discover, survey
from offbus_agent.metadata import METADATA, read_metadata

UUID = "GPU-11111111-2222-3333-4444-555555555555"
OTHER = "GPU-66666666-7777-8888-9999-000000000000"


def driver_file(root, pci, minor, uuid):
    folder = root / "proc/driver/nvidia/gpus" / pci
    folder.mkdir(parents=True)
    (folder / "information").write_text(
        f"Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 123\nGPU UUID: \t {uuid}\nVideo BIOS: \t 96.00\n"
        f"Bus Type: \t PCIe\nBus Location: \t {pci}\nDevice Minor: \t {minor}\nGPU Excluded:\t No\n"
    )


def test_a_real_node_is_read_from_the_drivers_files(tmp_path):
    driver_file(tmp_path, "0000:5e:00.0", 1, OTHER)
    driver_file(tmp_path, "0000:3b:00.0", 0, UUID)
    assert discover(tmp_path) == (
        Gpu(0, UUID, "0000:3b:00", "NVIDIA H100 80GB HBM3"),
        Gpu(1, OTHER, "0000:5e:00", "NVIDIA H100 80GB HBM3"),
    )


def test_a_local_node_is_read_from_its_list(tmp_path):
    item = {"index": 0, "uuid": UUID, "pci": "0000:3b:00.0", "name": "H100", "memory_bytes": 85_899_345_920}
    (tmp_path / "gpus.json").write_text(json.dumps({"gpus": [item]}))
    assert discover(tmp_path) == (Gpu(0, UUID, "0000:3b:00", "H100", 85_899_345_920),)


def test_addresses_are_spelt_as_in_nvsentinels_metadata(tmp_path):
    driver_file(tmp_path, "0000:3b:00.0", 0, UUID)
    metadata = tmp_path / METADATA
    metadata.parent.mkdir(parents=True)
    metadata.write_text(
        json.dumps({"gpus": [{"gpu_id": 0, "uuid": UUID, "pci_address": "00000000:3B:00.0"}]})
    )
    assert discover(tmp_path)[0].pci == "00000000:3B:00"


def test_a_node_without_a_driver_has_no_gpus(tmp_path):
    assert discover(tmp_path) == ()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param("{", "not JSON", id="broken"),
        pytest.param("[]", "expected an object", id="list"),
        pytest.param("{}", "expected", id="no-gpus"),
        pytest.param('{"gpus": [{"index": 0}]}', "needs index, uuid, pci and name", id="keys-missing"),
        pytest.param('{"gpus": [3]}', "needs index, uuid, pci and name", id="not-an-object"),
        pytest.param(
            json.dumps({"gpus": [{"index": 0, "uuid": UUID, "pci": "0000:3b:00\n79, x", "name": "n"}]}),
            "is not a PCI address",
            id="second-line-in-address",
        ),
        pytest.param(
            json.dumps({"gpus": [{"index": 0, "uuid": "GPU-1", "pci": "0000:3b:00", "name": "n"}]}),
            "is not a GPU UUID",
            id="uuid",
        ),
    ],
)
def test_a_list_that_makes_no_sense_is_refused_with_its_name(tmp_path, content, why):
    (tmp_path / "gpus.json").write_text(content)
    with pytest.raises(GpuDiscoveryError, match=why) as caught:
        discover(tmp_path)
    assert "gpus.json" in str(caught.value)


def test_a_drivers_file_that_makes_no_sense_is_refused_with_its_name(tmp_path):
    folder = tmp_path / "proc/driver/nvidia/gpus/0000:3b:00.0"
    folder.mkdir(parents=True)
    (folder / "information").write_text("Model: x\n")
    with pytest.raises(GpuDiscoveryError, match="information"):
        discover(tmp_path)


def test_one_gpu_that_cannot_be_read_does_not_lose_the_node(tmp_path):
    driver_file(tmp_path, "0000:3b:00.0", 0, UUID)
    driver_file(tmp_path, "0000:5e:00.0", 1, "GPU-????????-????-????-????-????????????")
    (tmp_path / "proc/driver/nvidia/gpus/0000:86:00.0").mkdir()
    assert [gpu.uuid for gpu in discover(tmp_path)] == [UUID]
    first, second = survey(tmp_path).unreadable
    assert "0000:5e:00.0" in first
    assert "'GPU-????????-????-????-????-????????????' is not a GPU UUID" in first
    assert "0000:86:00.0/information" in second


def test_one_entry_of_the_metadata_that_cannot_be_read_does_not_lose_the_node(tmp_path):
    driver_file(tmp_path, "0000:3b:00.0", 0, UUID)
    metadata = tmp_path / METADATA
    metadata.parent.mkdir(parents=True)
    entries = [{"uuid": OTHER}, 3, {"uuid": UUID, "pci_address": "00000000:3B:00.0"}]
    metadata.write_text(json.dumps({"gpus": entries}))
    assert discover(tmp_path)[0].pci == "00000000:3B:00"
    assert read_metadata(tmp_path).pcis == {UUID: "00000000:3B:00"}


PROPRIETARY = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.82.07  Wed Aug 27 15:22:28 UTC 2025\nGCC version:\n"
)
OPEN = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.133.20  Release Build  (root@x)  Sun Mar 30\n"
    "GCC version:  gcc version 12.2.0 (Debian)\n"
)


@pytest.mark.parametrize(
    ("driver", "metadata", "found"),
    [
        pytest.param(PROPRIETARY, "570.1", "580.82.07", id="the-driver-s-own-word-first"),
        pytest.param(OPEN, None, "570.133.20", id="the-open-one-s"),
        pytest.param(None, "570.133.20", "570.133.20", id="else-the-metadata-s"),
        pytest.param("nonsense", "570.133.20", "570.133.20", id="a-driver-that-does-not-say"),
        pytest.param(None, None, "", id="neither"),
        pytest.param(None, 570, "", id="not-a-text"),
        pytest.param(None, "570\ud800", "", id="not-a-version"),
    ],
)
def test_the_driver_s_version(tmp_path, driver, metadata, found):
    driver_file(tmp_path, "0000:3b:00.0", 0, UUID)
    if driver is not None:
        (tmp_path / "proc/driver/nvidia/version").write_text(driver)
    path = tmp_path / METADATA
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"gpus": [], "driver_version": metadata}))
    assert [gpu.driver for gpu in discover(tmp_path)] == [found]
