import Bytes
import SeededRandom
import Testing

@Suite struct ByteQueueTests {
    @Test func startsWithoutAllocation() {
        var queue = ByteQueue()
        #expect(queue.isEmpty == true)
        #expect(queue.capacity == 0)
        #expect(queue.withReadable { $0.count } == 0)
        #expect(queue.withMutableReadable { $0.count } == 0)
        #expect(queue.reserve(0).count == 0)
        queue.append([])
        queue.append("")
        queue.consume(0)
        #expect(queue.capacity == 0)
    }

    @Test(arguments: [1, 255, 256, 257, 4096, 100_000])
    func minimumCapacityIsThere(minimum: Int) {
        var queue = ByteQueue(minimumCapacity: minimum)
        let capacity = queue.capacity
        #expect(capacity >= minimum)
        #expect(queue.reserve(minimum).count == capacity)
        #expect(queue.capacity == capacity)
    }

    @Test func appendsEveryKind() {
        var queue = ByteQueue()
        queue.append([1, 2])
        queue.append([9, 3, 9][1..<2])
        queue.append("hé")
        queue.append(UInt8(7))
        [UInt8(8)].withUnsafeBytes { queue.append($0) }
        #expect(queue.copyBytes() == [1, 2, 3] + Array("hé".utf8) + [7, 8])
        #expect(queue[0] == 1)
        queue.consume(2)
        #expect(queue[0] == 3)
        #expect(queue.count == 6)
    }

    @Test func reservedBytesBecomeReadableOnCommit() {
        var queue = ByteQueue()
        let space = queue.reserve(10)
        #expect(space.count >= 10)
        space.copyBytes(from: [1, 2, 3])
        #expect(queue.isEmpty == true)
        queue.commit(3)
        #expect(queue.copyBytes() == [1, 2, 3])
    }

    @Test func worksInPlace() {
        var queue = ByteQueue()
        queue.append([1, 2, 3])
        queue.consume(1)
        queue.withMutableReadable { bytes in
            for index in bytes.indices { bytes[index] ^= 0xFF }
        }
        #expect(queue.copyBytes() == [0xFD, 0xFC])
    }

    @Test func passesTypedErrorsOn() {
        let queue = ByteQueue()
        #expect(throws: Truncated.self) {
            try queue.withReadable { bytes throws(Truncated) in
                var reader = ByteReader(bytes)
                return try reader.readUInt8()
            }
        }
    }

    @Test func emptyQueueGivesMemoryBack() {
        var queue = ByteQueue()
        queue.append([UInt8](repeating: 1, count: 5000))
        queue.shrinkIfEmpty()
        #expect(queue.capacity >= 5000)
        queue.consume(5000)
        queue.shrinkIfEmpty(keeping: 8192)
        #expect(queue.capacity >= 5000)
        queue.shrinkIfEmpty()
        #expect(queue.capacity == 0)
        queue.append([1])
        #expect(queue.copyBytes() == [1])
    }

    @Test func removesAll() {
        var queue = ByteQueue()
        queue.append([1, 2, 3])
        queue.removeAll(keepingCapacity: true)
        #expect(queue.isEmpty == true)
        #expect(queue.capacity > 0)
        queue.append([4])
        #expect(queue.copyBytes() == [4])
        queue.removeAll()
        #expect(queue.isEmpty == true)
        #expect(queue.capacity == 0)
    }

    /// A stream through the queue with little in it at a time reuses its memory.
    @Test func steadyFlowDoesNotGrow() {
        var queue = ByteQueue(minimumCapacity: 4096)
        let capacity = queue.capacity
        for round in 0..<10_000 {
            queue.append([UInt8](repeating: UInt8(truncatingIfNeeded: round), count: 1000))
            if round > 0 { queue.consume(1000) }
        }
        #expect(queue.count == 1000)
        #expect(queue.capacity == capacity)
    }

    /// A queue that stays nearly full must neither move its bytes for each small append nor grow without bound.
    @Test func nearlyFullQueueStaysBounded() {
        var queue = ByteQueue()
        queue.append([UInt8](repeating: 0, count: 65_536))
        for _ in 0..<100_000 {
            queue.consume(1)
            queue.append(UInt8(1))
        }
        #expect(queue.count == 65_536)
        #expect(queue.capacity <= 4 * 65_536)
    }

    @Test(arguments: 0..<20)
    func behavesLikeAnArray(seed: UInt64) {
        var random = SeededRandom(seed)
        var queue = ByteQueue()
        var model: [UInt8] = []
        let largest = [8, 300, 5000][Int(seed % 3)]
        for step in 0..<500 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0...2:
                let bytes = random.bytes(Int.random(in: 0...largest, using: &random))
                queue.append(bytes)
                model += bytes
            case 3:
                let byte = UInt8.random(in: .min ... .max, using: &random)
                queue.append(byte)
                model.append(byte)
            case 4...5:
                let bytes = random.bytes(Int.random(in: 0...largest, using: &random))
                let space = queue.reserve(bytes.count)
                #expect(space.count >= bytes.count)
                space.copyBytes(from: bytes)
                let kept = Int.random(in: 0...bytes.count, using: &random)
                queue.commit(kept)
                model += bytes.prefix(kept)
            case 6...8:
                let count = Int.random(in: 0...model.count, using: &random)
                queue.consume(count)
                model.removeFirst(count)
            default:
                if Bool.random(using: &random) {
                    queue.shrinkIfEmpty()
                } else if step % 7 == 0 {
                    queue.removeAll(keepingCapacity: Bool.random(using: &random))
                    model = []
                }
            }
            #expect(queue.count == model.count)
            #expect(queue.isEmpty == model.isEmpty)
            #expect(queue.copyBytes() == model)
        }
    }
}
