import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// Systemd: sockets that it opens, and upgrades of a service that it watches.
    @Suite struct Activation {
        /// Opens sockets as systemd does and becomes the program: NAME=ADDRESS …, --, the program.
        private static let activator = """
            import os, socket, sys
            split = sys.argv.index("--")
            names = []
            for number, item in enumerate(sys.argv[1:split]):
                name, address = item.split("=", 1)
                if address.startswith("/"):
                    opened = socket.socket(socket.AF_UNIX)
                    opened.bind(address)
                else:
                    host, port = address.rsplit(":", 1)
                    opened = socket.socket()
                    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    opened.bind((host, int(port)))
                opened.listen(64)
                os.dup2(opened.fileno(), 200 + number)
                names.append(name)
            for number in range(len(names)):
                os.dup2(200 + number, 3 + number)
            os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names))
            os.execv(sys.argv[split + 1], sys.argv[split + 1:])
            """

        private func activating(_ sockets: [String]) -> [String] {
            ["python3", "-c", Self.activator] + sockets + ["--", "/usr/bin/env"]
        }

        private func launch(_ node: TestNode, _ sockets: [String]) throws {
            node.prefix = activating(sockets)
            try node.launch()
        }

        /// A front has no successor, but systemd may keep its sockets while it is restarted.
        @Test func aFrontServesSocketsOfSystemd() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let files = try mesh.serverFiles()
                let address = "\(mesh.network).200:8443"
                let arguments = [
                    "--listen", address, "--to", "http://\(service.address)", "--certificate-file", files.certificate,
                    "--private-key-file", files.key,
                ]
                for _ in 1...2 {
                    let front = try TestFront(mesh, arguments, prefix: activating(["edge=\(address)"]))
                    let end = try front.connect([mesh.authority.root])
                    try demandEqual(try end.request("GET", "/head").status, 200)
                    end.close()
                    try front.end()
                }
                let foreign = try TestFront.run(mesh, arguments, prefix: activating(["edge=\(mesh.network).200:8444"]))
                try demandEqual(try foreign.wait(), 78, foreign.output)
                try demand(foreign.output.contains("which is not configured"), foreign.output)
            }
        }

        @Test func socketsOfSystemdAreServed() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                let client = pair.client
                try client.stop()
                try launch(
                    client,
                    [
                        "mesh=\(client.meshAddress)", "metrics=\(client.host):7480", "upstream=\(pair.upstream)",
                        "control=\(client.controlPath)",
                    ])
                try client.waitReady()
                try client.waitInstances(of: "echo", at: ["Server"])
                try Wire(pair.upstream).echo("through a socket of systemd")
                try demandEqual(try client.control.get("/v1/agent").status, 200)
                // The next process gets them from this one.
                client.prefix = []
                try demandEqual(try client.takeOver().wait(), 0, "exit status")
                try Wire(pair.upstream).echo("again")
                // Systemd still listens there.
                try client.stop()
                try demand(access(client.controlPath, F_OK) == 0, "the file of systemd's socket was removed")
            }
        }

        @Test func socketsThatNobodyWantsAreAnError() throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true)
                try node.writeFiles()
                let cases = [
                    ("unknown=\(node.meshAddress)", "has no name"),
                    ("web=\(node.meshAddress)", "has the name \"web\", which is not known"),
                    ("mesh=\(node.host):7499", "which is not configured"),
                    ("metrics=\(node.meshAddress)", "has the name metrics, but it is for mesh"),
                ]
                for (socket, text) in cases {
                    try launch(node, [socket])
                    node.expectEnd()
                    try demandEqual(try node.running().wait(), 78, socket)
                    let output = try node.running().output
                    try demand(output.contains(text), "\(socket): \(output)")
                }
            }
        }

        /// SIGUSR2 starts the program on disk, and systemd is told which process is the service now.
        @Test func aServiceUpgradesItself() throws {
            try withMesh { mesh in
                let path = mesh.directory + "/notify"
                let notify = try NotifySocket(path)
                let pair = try Pair(mesh, target: try mesh.echo().address) { client, _ in
                    client.environment["NOTIFY_SOCKET"] = path
                }
                let client = pair.client
                try notify.waitFor("READY=1")
                // By hand systemd would lose sight of it.
                client.environment = [:]
                let foreign = try client.failToTakeOver()
                try demandEqual(foreign.status, 1, foreign.output)
                try demand(foreign.output.contains("refused (supervised)"), foreign.output)

                let load = ShortConnections(to: pair.upstream, perMinute: 3_000)
                try load.goOn(20)
                client.expectEnd()
                let old = try client.running()
                old.signal(SIGUSR2)
                let record = try client.waitFor("upgrade_started")
                let pid = pid_t(record.value["pid"]?.integer ?? 0)
                mesh.whenEnded { if pid > 0 { Glibc.kill(pid, SIGKILL) } }
                try notify.waitFor("MAINPID=\(pid)")
                try notify.waitFor("READY=1")
                try demandEqual(try old.wait(), 0, "exit status")
                try load.goOn(20)
                try load.finish("an upgrade by SIGUSR2")
                try demand(
                    !notify.messages.contains { $0.contains("STOPPING") }, "systemd was told that the service ends")
                try demandEqual(
                    try client.control.get("/v1/agent").json["predecessor"]?["pid"]?.integer, Int64(old.pid))

                // A version that cannot start changes nothing.
                try client.writeFiles()
                let good = try String(contentsOfFile: client.configurationFile, encoding: .utf8)
                try good.replacingOccurrences(of: "\"upstreams\"", with: "\"upstream\"")
                    .write(toFile: client.configurationFile, atomically: true, encoding: .utf8)
                Glibc.kill(pid, SIGUSR2)
                try Deadline.until("the failure is told") { client.count("upgrade_failed") == 1 }
                try Wire(pair.upstream).echo("as before")
                Glibc.kill(pid, SIGTERM)
                try Deadline.until("it has ended") { Glibc.kill(pid, 0) != 0 || client.count("stopped") == 2 }
            }
        }
    }
}

/// Takes what a service tells systemd.
final class NotifySocket: @unchecked Sendable {
    private let descriptor: Int32
    private(set) var messages: [String] = []
    private var seen = 0

    init(_ path: String) throws {
        var storage = sockaddr_storage()
        let length = try Wire.fill(&storage, "unix:\(path)")
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        let bound = withUnsafePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        guard bound == 0 else { throw Failure("bind \(path): \(Wire.error)") }
    }

    deinit { close(descriptor) }

    /// Waits for the next message with this line.
    func waitFor(_ line: String) throws {
        try Deadline.until("systemd is told \(line)") {
            var buffer = [UInt8](repeating: 0, count: 4096)
            while true {
                let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
                guard count > 0 else { break }
                messages.append(String(decoding: buffer[..<count], as: UTF8.self))
            }
            guard
                let index = messages[seen...].firstIndex(where: { $0.split(separator: "\n").contains(Substring(line)) })
            else { return false }
            seen = index + 1
            return true
        }
    }
}
