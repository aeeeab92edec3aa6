import Foundation
import JSON
import Testing

extension EndToEnd {
    /// A service of a real systemd, with the unit that is delivered.
    @Suite(.enabled(if: TestSystemd.obstacle == nil, "no systemd can be run here")) struct UnderSystemd {
        private static let name = "mesh-agent.service"

        /// The delivered unit, for the programs and files of a test. What shuts files and users away is left out.
        private func unit(_ node: TestNode) throws -> String {
            let root = URL(fileURLWithPath: #filePath).pathComponents.dropLast(4)
            let file = root.dropFirst().reduce("") { $0 + "/" + $1 } + "/deploy/systemd/mesh-agent.service"
            let left = ["User=", "Protect", "Private", "StateDirectory", "RuntimeDirectory", "Wants=", "After="]
            let lines = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").filter { line in
                !left.contains { line.hasPrefix($0) }
            }
            let text = lines.joined(separator: "\n").replacingOccurrences(
                of: "/usr/bin/mesh-agent --config /etc/conduit-mesh/mesh.json",
                with: "\(TestMesh.binaries)/mesh-agent --config \(node.configurationFile)")
            return text.replacingOccurrences(
                of: "[Service]",
                with: "DefaultDependencies=no\n[Service]\nStandardOutput=append:\(log(node))\nStandardError=inherit"
                    + Self.sanitizers)
        }

        /// What sanitizers are told by variables: services do not inherit them.
        private static let sanitizers = ["ASAN_OPTIONS", "TSAN_OPTIONS"].compactMap { name in
            ProcessInfo.processInfo.environment[name].map { "\nEnvironment=\"\(name)=\($0)\"" }
        }.joined()

        private func log(_ node: TestNode) -> String { node.directory + "/service.log" }

        private func records(_ node: TestNode, _ event: String) -> [LogRecord] {
            let text = (try? String(contentsOfFile: log(node), encoding: .utf8)) ?? ""
            return text.split(separator: "\n").compactMap { line in
                (try? JSONReader.parse(String(line))).map { LogRecord(value: $0) }
            }.filter { $0.event == event }
        }

        /// A mesh whose client is a service; systemd runs with these units beside it.
        private func withService(
            _ name: String = #function, sockets: (Pair) -> [String: String] = { _ in [:] },
            _ body: (Pair, TestSystemd) throws -> Void
        ) throws {
            try withMesh(name) { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                try pair.client.stop()
                var units = sockets(pair)
                units[Self.name] = try unit(pair.client)
                let systemd = try TestSystemd(mesh, units: units)
                for socket in units.keys.sorted() where socket.hasSuffix(".socket") {
                    try systemd.demandControl("start", socket)
                }
                try systemd.demandControl("start", Self.name)
                try pair.client.waitInstances(of: "echo", at: ["Server"])
                try body(pair, systemd)
                try systemd.demandControl("stop", Self.name)
                try demandEqual(try systemd.property("Result", of: Self.name), "success", "how it ended")
            }
        }

        private func upgrade(_ systemd: TestSystemd) throws {
            let before = try systemd.property("MainPID", of: Self.name)
            try systemd.demandControl("kill", "--kill-whom=main", "--signal=USR2", Self.name)
            try Deadline.until("systemd knows the new process", every: 0.02) {
                let now = try systemd.property("MainPID", of: Self.name)
                return now != before && now != "0"
            }
            try Deadline.until("the old process has ended", every: 0.02) {
                try !isAlive(before, systemd)
            }
            try demandEqual(try systemd.property("SubState", of: Self.name), "running", "the service")
        }

        private func isAlive(_ process: String, _ systemd: TestSystemd) throws -> Bool {
            try systemd.control(["status", Self.name, "--no-pager"]).output.split(separator: "\n").contains { line in
                line.contains("─\(process) ")
            }
        }

        @Test func upgradesUnderLoad() throws {
            try withService { pair, systemd in
                let load = ShortConnections(to: pair.upstream, perMinute: 3_000)
                for _ in 1...2 {
                    try load.goOn(50)
                    try upgrade(systemd)
                }
                try systemd.demandControl("reload", Self.name)
                // A version that cannot start changes nothing.
                let good = try String(contentsOfFile: pair.client.configurationFile, encoding: .utf8)
                try good.replacingOccurrences(of: "\"upstreams\"", with: "\"upstream\"")
                    .write(toFile: pair.client.configurationFile, atomically: true, encoding: .utf8)
                let process = try systemd.property("MainPID", of: Self.name)
                try systemd.demandControl("kill", "--kill-whom=main", "--signal=USR2", Self.name)
                try Deadline.until("the failure is told") { records(pair.client, "upgrade_failed").count == 1 }
                try demandEqual(try systemd.property("MainPID", of: Self.name), process, "the service's process")
                try good.write(toFile: pair.client.configurationFile, atomically: true, encoding: .utf8)
                try load.goOn(50)
                try load.finish("two upgrades and one that failed, under systemd")
                try demandEqual(try systemd.property("NRestarts", of: Self.name), "0", "restarts")
                // Systemd has the right process in sight: it starts the service anew when that is gone.
                try systemd.demandControl("kill", "--kill-whom=main", "--signal=KILL", Self.name)
                try Deadline.until("it is started anew") {
                    try systemd.property("NRestarts", of: Self.name) == "1" && pair.client.isReady
                }
                try pair.client.waitInstances(of: "echo", at: ["Server"])
                try Wire(pair.upstream).echo("after a crash")
            }
        }

        /// Systemd keeps the sockets: nobody is refused while the service is restarted, and upgrades go on as without.
        @Test func socketsOutliveTheService() throws {
            try withService(sockets: { pair in
                func socket(_ name: String, _ address: String) -> String {
                    """
                    [Unit]
                    DefaultDependencies=no
                    [Socket]
                    ListenStream=\(address)
                    FileDescriptorName=\(name)
                    Service=\(Self.name)
                    """
                }
                return [
                    "mesh.socket": socket("mesh", pair.client.meshAddress),
                    "upstream.socket": socket("upstream", pair.upstream),
                ]
            }) { pair, systemd in
                let load = ShortConnections(to: pair.upstream, perMinute: 3_000)
                try load.goOn(50)
                try upgrade(systemd)
                try load.goOn(50)
                try load.finish("an upgrade with systemd's sockets")
                nonisolated(unsafe) let systemd = systemd
                let restart = Background { try systemd.control(["restart", Self.name]).status }
                var connects = 0
                while records(pair.client, "started").count < 3 {
                    try Wire(pair.upstream).close()
                    connects += 1
                    usleep(2_000)
                }
                try demandEqual(try restart.value(within: Deadline.patience), 0, "restart")
                print("systemd: \(connects) connects while the service was restarted, none refused")
                try pair.client.waitInstances(of: "echo", at: ["Server"])
                try Wire(pair.upstream).echo("after the restart")
            }
        }
    }
}
