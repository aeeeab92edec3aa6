import Foundation
import Testing

/// A systemd in namespaces of its own: with the units of a test, and the network of the host.
final class TestSystemd {
    /// Where its units lie.
    let units: String
    private let process: Child
    private let cgroup: String
    /// The number of systemd itself, which is 1 for its services.
    private let pid: pid_t

    /// Becomes process 1 of a namespace: the cgroup, the folder of the units.
    private static let boot = """
        set -e
        mkdir -p "$1"
        echo $$ > "$1/cgroup.procs"
        exec unshare --pid --fork --kill-child --mount --mount-proc --uts --ipc --cgroup --propagation private sh -ec '
            mount -t tmpfs -o mode=755 tmpfs /run
            umount -R /sys/fs/cgroup
            mount -t cgroup2 none /sys/fs/cgroup
            export container=test SYSTEMD_UNIT_PATH="$1"
            exec /lib/systemd/systemd --system --unit=default.target --log-target=console --show-status=no' sh "$2"
        """

    /// Why there cannot be one here; nil where there can.
    static var obstacle: String? {
        if getuid() != 0 { return "it needs root" }
        if access("/lib/systemd/systemd", X_OK) != 0 { return "systemd is not installed" }
        return cgroups == nil ? "there are no cgroups of version 2" : nil
    }

    /// Where cgroups of version 2 are mounted.
    private static var cgroups: String? {
        let mounts = (try? String(contentsOfFile: "/proc/mounts", encoding: .utf8)) ?? ""
        return mounts.split(separator: "\n").map { $0.split(separator: " ") }.first { $0[2] == "cgroup2" }.map {
            String($0[1])
        }
    }

    /// Starts it with these units, by name.
    init(_ mesh: TestMesh, units texts: [String: String]) throws {
        units = mesh.directory + "/units"
        try FileManager.default.createDirectory(atPath: units, withIntermediateDirectories: true)
        var texts = texts
        texts["default.target"] = "[Unit]\nDescription=The units of a test\nDefaultDependencies=no\n"
        for (name, text) in texts { try text.write(toFile: units + "/" + name, atomically: true, encoding: .utf8) }
        cgroup = try #require(Self.cgroups) + "/e2e-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        process = try Child(
            ["sh", "-c", Self.boot, "sh", cgroup, units], output: mesh.directory + "/systemd.log")
        let outer = process.pid
        pid = try Deadline.wait("systemd is there") {
            let children = try? String(contentsOfFile: "/proc/\(outer)/task/\(outer)/children", encoding: .utf8)
            guard let child = children.flatMap({ pid_t($0.trimmingCharacters(in: .whitespaces)) }) else { return nil }
            // Before that it is one of the shell's commands, or a shell itself.
            let name = try? String(contentsOfFile: "/proc/\(child)/comm", encoding: .utf8)
            return name == "systemd\n" ? child : nil
        }
        mesh.whenEnded { self.end() }
        try Deadline.until("systemd answers: \(process.output)", every: 0.05) {
            (try? control(["is-system-running"]).output.hasPrefix("running")) == true
        }
    }

    /// `systemctl`, as it is on the host that this systemd runs.
    @discardableResult
    func control(_ arguments: [String]) throws -> (status: Int32, output: String) {
        try runProgram(["nsenter", "-t", "\(pid)", "-m", "-p", "systemctl"] + arguments)
    }

    /// The same; must succeed.
    func demandControl(_ arguments: String...) throws {
        let result = try control(arguments)
        try demandEqual(result.status, 0, "systemctl \(arguments.joined(separator: " ")): \(result.output)")
    }

    /// A property of a unit: `MainPID`, `SubState`.
    func property(_ name: String, of unit: String) throws -> String {
        try control(["show", "-P", name, unit]).output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    private func end() {
        process.kill()
        // The kernel needs a moment until the last process is gone.
        for _ in 0..<200 where access(cgroup, F_OK) == 0 {
            _ = try? runProgram(["find", cgroup, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"])
            usleep(10_000)
        }
    }
}
