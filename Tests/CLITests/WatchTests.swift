import Foundation
import JSON
import Testing

/// Watching, and what makes watchers start over: one at a time.
@Suite(.serialized) struct WatchTests {
    private let agents: TestMesh

    init() throws { agents = try TestMesh.shared.get() }

    @Test func reloadAppliesOrRefuses() throws {
        #expect(try agents.run(["reload"], at: "alpha").text.hasPrefix("reloaded"))
        let good = try agents.workspace.read("alpha.json")
        defer { _ = try? agents.workspace.write(good, to: "alpha.json") }
        try agents.workspace.write("{ nonsense: 1 }", to: "alpha.json")
        let refused = try agents.run(["reload"], at: "alpha")
        #expect(refused.status == 78)
        #expect(refused.errors.contains("nonsense") && refused.errors.contains("nothing was changed"))
    }

    @Test(arguments: [SIGINT, SIGTERM])
    func watchShowsChangesAndEndsCleanly(_ signal: Int32) throws {
        let name = "free-watch-\(signal)"
        let watch = Process()
        watch.executableURL = Programs.mesh
        watch.arguments = ["watch", "--control", agents.socket("beta"), "--json"]
        watch.currentDirectoryURL = agents.workspace.url
        let pipe = Pipe()
        watch.standardOutput = pipe
        try watch.run()
        var lines = LineReader(pipe.fileHandleForReading)
        // The first line tells the revision; from then on everything is seen.
        #expect(try JSONReader.parse(lines.next() ?? "")["revision"]?.integer != nil)
        #expect(try agents.run(["register", name, "--target", "80", "--check", "none"]).status == 0)
        #expect(try agents.run(["deregister", name]).status == 0)
        var seen: [String] = []
        while seen.count < 2, let line = lines.next() {
            for event in try JSONReader.parse(line)["events"]?.array ?? [] {
                let service = event["instance"]?["service"]?.string ?? event["service"]?.string
                if service == name { seen.append(event["type"]?.string ?? "") }
            }
        }
        #expect(seen == ["instance", "instance_removed"])
        kill(watch.processIdentifier, signal)
        watch.waitUntilExit()
        #expect(watch.terminationReason == .exit && watch.terminationStatus == 0)
    }
}

/// Lines of a pipe as they come.
private struct LineReader {
    private let handle: FileHandle
    private var rest = Data()

    init(_ handle: FileHandle) { self.handle = handle }

    /// The next line without its end; nil at the end of the pipe.
    mutating func next() -> String? {
        while true {
            if let end = rest.firstIndex(of: 0x0A) {
                let line = String(decoding: rest[..<end], as: UTF8.self)
                rest = Data(rest[rest.index(after: end)...])
                return line
            }
            let more = handle.availableData
            if more.isEmpty { return nil }
            rest += more
        }
    }
}
