import Foundation
import Testing

/// Tests with real agents: processes, sockets, files. One after the other; each cleans up after itself.
///
/// The programs are taken from MESH_BIN, else from beside the test bundle. MESH_E2E_FULL=1 makes transfers larger,
/// MESH_SLOW=1 relaxes the limits five times, MESH_SANITIZED=1 says that the agents' memory is a sanitizer's too,
/// MESH_E2E_KEEP=1 keeps the files.
@Suite(.serialized)
enum EndToEnd {}

/// Two nodes and a directory, with one echo service behind `Server` and an upstream on `Client`.
struct Pair {
    let mesh: TestMesh
    let directory: TestNode
    let client: TestNode
    let server: TestNode
    let upstream: String

    /// - Parameter target: where the service `echo` runs.
    init(_ mesh: TestMesh, target: String, configure: (TestNode, TestNode) throws -> Void = { _, _ in }) throws {
        self.mesh = mesh
        mesh.policy.provide("echo", at: "Server")
        mesh.policy.identity("shop", of: "Client")
        mesh.policy.connect("service:shop", to: "echo")
        directory = try mesh.node("Directory", directory: true)
        var address = ""
        client = try mesh.node("Client") { address = $0.upstream("echo", as: "shop", port: 8001) }
        server = try mesh.node("Server") { $0.offer("echo", target) }
        upstream = address
        try configure(client, server)
        try mesh.start()
        try client.waitInstances(of: "echo", at: ["Server"])
    }
}

/// Bytes that are never the same for two seeds, made as fast as they can be sent.
struct Stream {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func fill(_ buffer: UnsafeMutableRawBufferPointer) {
        let words = buffer.bindMemory(to: UInt64.self)
        var x = state
        for index in words.indices {
            x ^= x << 13
            x ^= x >> 7
            x ^= x << 17
            words[index] = x
        }
        state = x
    }
}

/// Sends `count` bytes of a stream, then ends the direction. `progress` has how many have gone.
func sendStream(_ wire: Wire, seed: UInt64, count: Int, progress: Counter? = nil) throws {
    var stream = Stream(seed: seed)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 8)
    defer { buffer.deallocate() }
    var left = count
    while left > 0 {
        stream.fill(buffer)
        let size = min(left, buffer.count)
        try wire.send(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<size]))
        left -= size
        progress?.add(size)
    }
    wire.finishSending()
}

/// Reads to the end and compares with the stream of the same seed, byte by byte. Gives the number of bytes.
func receiveStream(_ wire: Wire, seed: UInt64) throws -> Int {
    var stream = Stream(seed: seed)
    let (got, want) = (
        UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 8),
        UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 8)
    )
    defer {
        got.deallocate()
        want.deallocate()
    }
    var total = 0
    while true {
        let place = total % want.count
        if place == 0 { stream.fill(want) }
        let room = UnsafeMutableRawBufferPointer(rebasing: got[..<(want.count - place)])
        let count = try wire.read(into: room)
        if count == 0 { return total }
        guard memcmp(room.baseAddress!, want.baseAddress! + place, count) == 0 else {
            throw Failure("the bytes after \(total) differ")
        }
        total += count
    }
}
