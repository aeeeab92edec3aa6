import Link

/// Link frames and sessions: what the link protocol costs beside TLS and system calls.
enum LinkBenchmarks {
    static var all: [Benchmark] {
        [
            Benchmark("link.frame.parse", "the header of a link frame read", batch: 400_000) { parse() },
            Benchmark("link.data.64", "64 bytes of one stream, from session to session", batch: 20_000) {
                try data(streams: 1, size: 64, turns: 1)
            },
            Benchmark("link.data.64x64", "64 bytes of each of 64 streams in one turn, a frame", batch: 50_000) {
                try data(streams: 64, size: 64, turns: 64)
            },
            Benchmark("link.data.4096x64", "64 bytes each of 64 turns of 4,096 streams, a frame", batch: 50_000) {
                try data(streams: 4_096, size: 64, turns: 64)
            },
            Benchmark("link.data.bulk", "65,280 bytes of one stream, a frame", batch: 1_000) {
                try data(streams: 1, size: 65_280, turns: 4)
            },
            Benchmark("link.open", "a stream opened, accepted and reset", batch: 10_000) { open() },
        ]
    }

    private static func parse() -> (Int) -> Int {
        let frames = [
            LinkFrame(type: .data, streamID: 7).encoded(payload: [1, 2, 3]),
            LinkFrame(type: .credit, streamID: 7).encoded(payload: [UInt8](repeating: 0, count: 8)),
            LinkFrame(type: .ack).encoded(payload: [UInt8](repeating: 0, count: 8)),
        ]
        return { count in
            var sum = 0
            for number in 0..<count {
                frames[number % 3].withUnsafeBytes { bytes in
                    guard case .frame(let frame) = LinkFrame.parse(bytes) else { Output.fail("no legal frame") }
                    sum += Int(frame.type.rawValue) + Int(frame.streamID)
                }
            }
            return sum
        }
    }

    /// `count` is in frames of data.
    private static func data(streams: Int, size: Int, turns: Int) throws -> (Int) -> Int {
        let path = LinkPath()
        for stream in try path.open(streams) { path.sender.markReadable(stream) }
        // Until the windows have grown.
        for _ in 0..<500 { path.tick(turns: turns, size: size) }
        return { count in
            let before = path.bytes
            var ticks = 0
            // A bulk turn may end early where the credit does, so what arrived is what counts.
            while path.bytes - before < count * size {
                path.tick(turns: turns, size: size)
                ticks += 1
                require(ticks <= 4 * count + 4, "\(ticks) turns moved \(path.bytes - before) bytes")
            }
            return path.bytes - before
        }
    }

    private static func open() -> (Int) throws -> Int {
        let path = LinkPath()
        return { count in
            let before = path.frames
            for _ in 0..<count {
                let stream = try path.open(1)[0]
                path.sender.reset(stream, .cancelled)
                path.exchange()
                // 100 ms apart, so that the resets are no flood.
                for _ in 0..<60 { path.exchange() }
            }
            require(path.frames - before >= 3 * count, "OPEN, ACCEPT and RESET are three frames")
            return path.frames - before
        }
    }
}
