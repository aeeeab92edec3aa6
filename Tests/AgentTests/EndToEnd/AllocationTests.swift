import Foundation
import JSON
import Testing

extension EndToEnd {
    /// What the workers of real agents allocate while bytes go by, TLS, sockets and timers included.
    @Suite struct Allocations {
        /// Only the release build: without the optimiser, values that end on the stack are allocated.
        static let isMeaningful = TestMesh.binaries.contains("/release") && Memory.tells

        /// Steady state allocates nothing per frame, not even for those that come in two pieces. What remains over a whole run
        /// is what happens now and then (timers, a report to the control plane): two or three allocations a second.
        @Test(.enabled(if: isMeaningful, "the programs are not a release build"))
        func framesAllocateNothing() throws {
            try withMesh { mesh in
                let library = try AllocationCount.build(in: mesh.directory)
                let service = try mesh.service { wire in
                    while case .bytes(let bytes) = wire.receive(atMost: 1 << 20) { try wire.send(bytes) }
                }
                var counts: [(node: String, count: AllocationCount)] = []
                let pair = try Pair(mesh, target: service.address) { client, server in
                    for node in [client, server] {
                        let count = try AllocationCount(file: node.directory + "/allocations")
                        node.environment["LD_PRELOAD"] = library
                        node.environment["ALLOCATION_COUNT_FILE"] = count.file
                        counts.append((node.name, count))
                    }
                }
                let wire = try Wire(pair.upstream)
                let trips = 20_000
                let rounds = 256
                let block = [UInt8](repeating: 7, count: 256 << 10)
                func small() throws { for _ in 0..<trips { try wire.echo("sixteen bytes at") } }
                func bulk() throws {
                    for _ in 0..<rounds {
                        try wire.send(block)
                        _ = try wire.receive(exactly: block.count)
                    }
                }
                // Tables, pools and windows grow to what the traffic takes.
                try small()
                try bulk()
                for (kind, bound, run) in [("small", UInt64(20), small), ("bulk", 20, bulk)] {
                    let (before, start) = (counts.map(\.count.value), Deadline.now)
                    try run()
                    let noise = UInt64(5 * (Deadline.now - start))
                    for (index, entry) in counts.enumerated() {
                        try demand(before[index] > 0, "\(entry.node): nothing was counted")
                        let allocations = entry.count.value - before[index]
                        try demand(
                            allocations <= bound + noise,
                            "\(entry.node): \(allocations) allocations while \(kind) frames went by, at most \(bound + noise) are right"
                        )
                    }
                }
            }
        }
    }
}

/// The number of allocations of an agent's workers, counted by `Tests/Support/AllocationCount`.
private final class AllocationCount {
    let file: String
    private let memory: UnsafeMutableRawPointer

    /// Makes the file and maps it.
    init(file: String) throws {
        self.file = file
        let descriptor = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0, ftruncate(descriptor, 8) == 0 else { throw Failure("\(file): \(Wire.error)") }
        defer { close(descriptor) }
        guard let memory = mmap(nil, 8, PROT_READ, MAP_SHARED, descriptor, 0), memory != MAP_FAILED else {
            throw Failure("mmap: \(Wire.error)")
        }
        self.memory = memory
    }

    deinit { munmap(memory, 8) }

    var value: UInt64 { memory.load(as: UInt64.self) }

    /// Compiles what agents preload; gives its path.
    static func build(in directory: String) throws -> String {
        let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../Support/AllocationCount/allocation_count.c").standardizedFileURL.path
        let library = directory + "/allocation_count.so"
        try runProgram(["clang", "-O2", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source])
        return library
    }
}
