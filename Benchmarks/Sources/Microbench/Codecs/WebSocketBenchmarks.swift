import WebSocket

/// The frame codec of RFC 6455 as the link and the edge use it.
enum WebSocketBenchmarks {
    static var all: [Benchmark] {
        [
            Benchmark("websocket.header.encode", "the header of a masked frame written", batch: 400_000) {
                encodeHeaders()
            },
            Benchmark("websocket.header.parse", "the header of a masked frame read", batch: 400_000) { parseHeaders() },
            Benchmark("websocket.read.64", "a masked frame of 64 bytes read in place", batch: 200_000) { read(64) },
            Benchmark("websocket.read.16k", "a masked frame of 16 KiB read in place", batch: 4_000) { read(16 << 10) },
            Benchmark("websocket.mask.64k", "64 KiB masked in place", batch: 1_000) { mask(64 << 10) },
            Benchmark("websocket.utf8.4k", "4 KiB of text checked", batch: 2_000) { checkText() },
        ]
    }

    private static func encodeHeaders() -> (Int) -> Int {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: FrameHeader.maximumSize, alignment: 8)
        return { count in
            var sum = 0
            for number in 0..<count {
                // The three forms of the length take turns.
                let length = number % 3 == 0 ? 100 : number % 3 == 1 ? 4_000 : 70_000
                let header = FrameHeader(
                    opcode: .binary, maskKey: UInt32(truncatingIfNeeded: number), payloadLength: length)
                sum += header.encode(into: buffer.baseAddress!) + Int(buffer[1])
            }
            require(count == 0 || sum > 6 * count, "headers are shorter than six bytes")
            return sum
        }
    }

    private static func parseHeaders() -> (Int) -> Int {
        var headers: [[UInt8]] = []
        for length in [100, 4_000, 70_000] {
            var bytes = [UInt8](repeating: 0, count: FrameHeader.maximumSize)
            let header = FrameHeader(opcode: .binary, maskKey: 0x1234_5678, payloadLength: length)
            bytes.withUnsafeMutableBytes { _ = header.encode(into: $0.baseAddress!) }
            headers.append(bytes)
        }
        return { count in
            var sum = 0
            for number in 0..<count {
                headers[number % 3].withUnsafeBytes { bytes in
                    guard case .complete(let header, let size) = FrameHeader.parse(bytes) else {
                        Output.fail("a header is not complete")
                    }
                    sum += size + header.payloadLength
                }
            }
            return sum
        }
    }

    /// Frames of one size that fill some 256 KiB, read one after the other; masking works both ways, so they can be read
    /// again and again.
    private static func read(_ size: Int) -> (Int) -> Int {
        var frame = [UInt8](repeating: 0x61, count: FrameHeader.size(payloadLength: size, masked: true) + size)
        let header = FrameHeader(opcode: .binary, maskKey: 0x1234_5678, payloadLength: size)
        frame.withUnsafeMutableBytes { _ = header.encode(into: $0.baseAddress!) }
        let frames = max(1, (256 << 10) / frame.count)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: frames * frame.count, alignment: 64)
        for number in 0..<frames {
            let place = buffer.baseAddress! + number * frame.count
            frame.withUnsafeBytes { place.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        }
        var reader = FrameReader(role: .server, maximumFramePayload: 1 << 20)
        return { count in
            var left = count
            var sum = 0
            while left > 0 {
                var start = 0
                while left > 0, start < buffer.count {
                    guard
                        case .message(_, let payload, let consumed) = reader.next(
                            UnsafeMutableRawBufferPointer(rebasing: buffer[start...]))
                    else { Output.fail("no whole message at \(start)") }
                    sum += payload.count
                    start += consumed
                    left -= 1
                }
            }
            require(sum == count * size, "\(sum) bytes of payload in \(count) frames of \(size)")
            return sum
        }
    }

    private static func mask(_ size: Int) -> (Int) -> Int {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
        return { count in
            var sum = 0
            for number in 0..<count {
                Masking.apply(0x1234_5678 &+ UInt32(truncatingIfNeeded: number), to: buffer)
                sum += Int(buffer[number % size])
            }
            return sum
        }
    }

    private static func checkText() -> (Int) -> Int {
        var text = Array(String(repeating: "Grüße an alle — hello ", count: 150).utf8)
        text += [UInt8](repeating: 0x61, count: 4_096 - text.count)
        return { count in
            var legal = 0
            for number in 0..<count {
                // Another text each time, so that one answer does not do for all.
                text[text.count - 1 - number % 200] ^= 1
                if text.withUnsafeBytes({ UTF8Validator.isValid($0) }) { legal += 1 }
            }
            require(legal == count, "legal text was refused")
            return legal
        }
    }
}
