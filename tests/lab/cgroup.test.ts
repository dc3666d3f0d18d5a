import * as assert from "uvu/assert";
import { ownGroups } from "../../src/lab/cgroup.ts";
import { suite } from "../support/suite.ts";

suite("a machine's control groups", (test) => {
  test("on a host with version 2 alone", () => {
    const mounts = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    assert.equal(ownGroups("0::/user.slice/user-0.slice/session-1.scope\n", mounts), [
      "/sys/fs/cgroup/user.slice/user-0.slice/session-1.scope",
    ]);
  });

  test("on a host with both versions: where systemd keeps its own, and not those of controllers", () => {
    const mounts = [
      "40 24 0:30 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755",
      "41 40 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
      "42 40 0:32 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd",
      "43 40 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
    ].join("\n");
    const groups = "9:name=systemd:/a\n4:memory:/b\n1:cpu:/\n0::/c\n";
    assert.equal(ownGroups(groups, mounts), ["/sys/fs/cgroup/systemd/a", "/sys/fs/cgroup/unified/c"]);
  });

  test("none where they cannot be reached", () => {
    const mounts = "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    assert.equal(ownGroups("0::/../other\n", mounts), []);
    assert.equal(ownGroups("", ""), []);
  });
});
