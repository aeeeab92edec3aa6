import CAllocations
import Foundation
import TLS
import Testing

/// Bytes of the heap that `body` takes and does not give back, on the thread that runs it: sessions are made, used and
/// ended on one. 0 always under a sanitizer, which brings its own allocator.
private func heapGrowth(_ body: () throws -> Void) rethrows -> Int {
    let before = callocations_bytes()
    try body()
    return Int(callocations_bytes() - before)
}

extension TLSTests {
    @Suite("Memory")
    struct MemoryTests {
        @Test("an idle session takes less than 28 KiB, one in use less than 64")
        func idle() throws {
            let count = 50
            let client = try Fixture.context(.client)
            let server = try Fixture.context(.server)
            _ = try Fixture.connected(client, server)
            var pairs: [Pair] = []
            let taken = try heapGrowth {
                for _ in 0..<count { pairs.append(try Fixture.connected(client, server)) }
            }
            let clients = heapGrowth { for pair in pairs { pair.client.releaseIdleMemory() } }
            let servers = heapGrowth { for pair in pairs { pair.server.releaseIdleMemory() } }
            let used = taken / (2 * count)
            let idle = (taken + clients + servers) / (2 * count)
            if callocations_count() >= 0 {
                #expect(used > 0, "bytes are counted")
                #expect(max(clients, servers) < -2048 * count, "\(clients) bytes of clients, \(servers) of servers")
            }
            #expect(used < 64 * 1024, "\(used) bytes")
            #expect(idle < 28 * 1024, "\(idle) bytes")
            for pair in pairs {
                write([1, 2, 3], to: pair.client)
                #expect(
                    transfer(from: pair.client, to: pair.server).bytes == [1, 2, 3], "memory comes back when needed")
            }
            pairs = []
            let left = try heapGrowth {
                for _ in 0..<count { pairs.append(try Fixture.connected(client, server)) }
                pairs = []
            }
            #expect(left < 4096, "\(left) bytes of 100 sessions are not freed")
        }

        @Test("releasing between the header and the body of a record loses nothing", arguments: 0..<30)
        func releaseInsideRecord(cut: Int) throws {
            let pair = try Fixture.connected()
            write(Array("a record that comes in two pieces".utf8), to: pair.client)
            let wire = take(pair.client)
            feed(Array(wire[..<cut]), to: pair.server) { #expect(readAll($0).wantsInput) }
            pair.server.releaseIdleMemory()
            feed(Array(wire[cut...]), to: pair.server) {
                #expect(readAll($0).bytes == Array("a record that comes in two pieces".utf8))
            }
        }

        @Test("releasing keeps output that waits")
        func releaseKeepsOutput() throws {
            let pair = try Fixture.connected()
            write([1, 2, 3], to: pair.client)
            pair.client.releaseIdleMemory()
            #expect(transfer(from: pair.client, to: pair.server).bytes == [1, 2, 3])
        }

        @Test("a large output buffer is given back when it is empty, an ordinary one kept")
        func output() throws {
            let pair = try Fixture.connected()
            let batch = [UInt8](repeating: 1, count: 256 * 1024)
            write(batch, to: pair.client)
            _ = take(pair.client)
            let kept = pair.client.outputCapacity
            #expect(kept >= 256 * 1024)
            for _ in 0..<8 { write(batch, to: pair.client) }
            #expect(pair.client.pendingOutput > 2 << 20)
            pair.client.withOutput { $0.count - 1 }
            #expect(pair.client.outputCapacity > 2 << 20)
            pair.client.withOutput { $0.count }
            #expect(pair.client.outputCapacity == 0)
        }

        @Test("200,000 messages leave the heap as it was")
        func flat() throws {
            let pair = try Fixture.connected()
            let message = [UInt8](repeating: 0x2a, count: 100)
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 16)
            let wire = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 16)
            defer {
                buffer.deallocate()
                wire.deallocate()
            }
            func exchange(_ from: TLSSession, _ to: TLSSession) -> Bool {
                guard case .written = message.withUnsafeBytes({ from.write($0) }) else { return false }
                var count = 0
                from.withOutput { output in
                    count = output.count
                    wire.copyMemory(from: output)
                    return count
                }
                to.setInput(UnsafeRawBufferPointer(rebasing: wire[..<count]))
                guard case .bytes(100) = to.read(into: buffer) else { return false }
                return to.wantsInput
            }
            for _ in 0..<1000 {
                #expect(exchange(pair.client, pair.server))
                #expect(exchange(pair.server, pair.client))
            }
            let capacity = pair.client.outputCapacity
            var good = true
            let left = heapGrowth {
                for _ in 0..<100_000 {
                    good = exchange(pair.client, pair.server) && good
                    good = exchange(pair.server, pair.client) && good
                }
            }
            #expect(good)
            #expect(left < 4096, "\(left) bytes")
            #expect(pair.client.outputCapacity == capacity)
        }

        @Test("2,000 refused handshakes leave nothing behind")
        func refusals() throws {
            let client = try Fixture.context(.client, alpn: ["a"])
            let server = try Fixture.context(.server, alpn: ["b"])
            func refuse() throws {
                let pair = Pair(
                    try TLSSession(context: client, expecting: .anyIdentity),
                    try TLSSession(context: server, expecting: .anyIdentity))
                #expect(pair.connect().server.error?.code == .noSharedProtocol)
            }
            for _ in 0..<50 { try refuse() }
            let left = try heapGrowth {
                for _ in 0..<2000 { try refuse() }
            }
            #expect(left < 4096, "\(left) bytes")
        }
    }
}
