import SeededRandom
import TLS
import Testing

extension TLSTests {
    @Suite("Streams of bytes")
    struct StreamTests {
        @Test(
            "random plaintext in random pieces of ciphertext arrives as it was sent",
            arguments: [1, 2, 5, 7, 64, 1500, 20_000, 300_000])
        func chunks(largest: Int) throws {
            for version in [TLSVersion.tls12, .tls13] {
                var random = SeededRandom(UInt64(largest))
                let pair = try Fixture.connected(version: version)
                for (from, to) in [(pair.client, pair.server), (pair.server, pair.client)] {
                    var sent: [UInt8] = []
                    var received: [UInt8] = []
                    let total = largest < 10 ? 4_000 : 300_000
                    while sent.count < total {
                        let size = Int.random(in: 0...(largest < 10 ? 700 : 70_000), using: &random)
                        let bytes = random.bytes(size)
                        #expect(write(bytes, to: from) == nil)
                        sent += bytes
                        let wire = take(from)
                        var start = 0
                        while start < wire.count {
                            let end = min(wire.count, start + Int.random(in: 1...largest, using: &random))
                            feed(Array(wire[start..<end]), to: to) { session in
                                let reading = readAll(session, capacity: Int.random(in: 1...40_000, using: &random))
                                #expect(reading.wantsInput)
                                #expect(session.unreadInput == 0)
                                received += reading.bytes
                            }
                            start = end
                        }
                    }
                    #expect(received == sent)
                }
            }
        }

        @Test("128 KiB in one call are eight full records")
        func fullRecords() throws {
            let pair = try Fixture.connected()
            let before = pair.client.recordsSealedSinceKeyUpdate
            let bytes = [UInt8](repeating: 7, count: 128 * 1024)
            #expect(write(bytes, to: pair.client) == nil)
            #expect(pair.client.recordsSealedSinceKeyUpdate - before == 8)
            #expect(pair.client.pendingOutput == 8 * (16384 + 5 + 1 + 16))
            #expect(pair.client.bytesSealedSinceKeyUpdate == 128 * 1024)
            var calls = 0
            var count = 0
            var buffer = [UInt8](repeating: 0, count: 256 * 1024)
            feed(take(pair.client), to: pair.server) { server in
                while case .bytes(let n) = buffer.withUnsafeMutableBytes({ server.read(into: $0) }) {
                    count += n
                    calls += 1
                }
            }
            #expect(count == bytes.count)
            #expect(calls == 1, "one read takes all records of the window")
        }

        @Test("a read that ended on an empty window says so")
        func wantsInputIsKnown() throws {
            let pair = try Fixture.connected()
            write(Array("hello".utf8), to: pair.client)
            var buffer = [UInt8](repeating: 0, count: 3)
            feed(take(pair.client), to: pair.server) { server in
                guard case .bytes(3) = buffer.withUnsafeMutableBytes({ server.read(into: $0) }) else {
                    Issue.record("three bytes expected")
                    return
                }
                #expect(!server.wantsInput)
                guard case .bytes(2) = buffer.withUnsafeMutableBytes({ server.read(into: $0) }) else {
                    Issue.record("two bytes expected")
                    return
                }
                #expect(server.wantsInput)
            }
            write([1], to: pair.client)
            feed(take(pair.client), to: pair.server) { server in
                #expect(!server.wantsInput, "a new window has not been read")
                #expect(readAll(server).bytes == [1])
                #expect(server.wantsInput)
            }
        }

        @Test("output can be sent piece by piece")
        func partialOutput() throws {
            let pair = try Fixture.connected()
            let bytes = (0..<50_000).map { UInt8(truncatingIfNeeded: $0 * 31) }
            write(bytes, to: pair.client)
            var received: [UInt8] = []
            while pair.client.pendingOutput > 0 {
                var piece: [UInt8] = []
                pair.client.withOutput { output in
                    piece = Array(output.prefix(777))
                    return piece.count
                }
                feed(piece, to: pair.server) { received += readAll($0).bytes }
            }
            #expect(received == bytes)
        }

        @Test("writing while older output waits keeps the order")
        func outputGrowsBehindItsHead() throws {
            let pair = try Fixture.connected()
            var sent: [UInt8] = []
            var wire: [UInt8] = []
            var random = SeededRandom(4)
            for _ in 0..<300 {
                let bytes = [UInt8](
                    repeating: UInt8.random(in: 0...255, using: &random),
                    count: Int.random(in: 1...9000, using: &random))
                write(bytes, to: pair.client)
                sent += bytes
                pair.client.withOutput { output in
                    let count = Int.random(in: 0...output.count, using: &random)
                    wire += output.prefix(count)
                    return count
                }
            }
            wire += take(pair.client)
            var received: [UInt8] = []
            feed(wire, to: pair.server) { received = readAll($0).bytes }
            #expect(received == sent)
        }

        @Test("close_notify is a clean end, the end of input alone is not")
        func ends() throws {
            let clean = try Fixture.connected()
            write([1, 2, 3], to: clean.client)
            clean.client.shutdown()
            let reading = transfer(from: clean.client, to: clean.server)
            #expect(reading.bytes == [1, 2, 3])
            #expect(reading.isClean)
            #expect(readAll(clean.server).isClean, "the end stays the end")

            let cut = try Fixture.connected()
            write([1, 2, 3], to: cut.client)
            var first = Reading()
            feed(take(cut.client), to: cut.server) { server in
                server.receivedEOF()
                first = readAll(server)
            }
            #expect(first.bytes == [1, 2, 3])
            #expect(first.isTruncated)
            #expect(readAll(cut.server).isTruncated)
        }

        @Test("a record cut in the middle is a truncated end", arguments: [1, 5, 6, 20])
        func cutRecord(kept: Int) throws {
            let pair = try Fixture.connected()
            write([UInt8](repeating: 1, count: 100), to: pair.client)
            feed(Array(take(pair.client).prefix(kept)), to: pair.server) { #expect(readAll($0).wantsInput) }
            pair.server.receivedEOF()
            #expect(readAll(pair.server).isTruncated)
        }

        @Test("one direction can end while the other goes on")
        func halfClose() throws {
            let pair = try Fixture.connected()
            write(Array("question".utf8), to: pair.client)
            pair.client.shutdown()
            #expect(write([1], to: pair.client)?.code == .closed)
            let question = transfer(from: pair.client, to: pair.server)
            #expect(question.bytes == Array("question".utf8))
            #expect(question.isClean)
            #expect(write(Array("answer".utf8), to: pair.server) == nil)
            pair.server.shutdown()
            let answer = transfer(from: pair.server, to: pair.client)
            #expect(answer.bytes == Array("answer".utf8))
            #expect(answer.isClean)
        }

        @Test("a changed byte ends the session, at both ends", arguments: [3, 7, 40])
        func corruption(at index: Int) throws {
            let pair = try Fixture.connected()
            write(Array("a perfectly good record of some length".utf8), to: pair.client)
            var wire = take(pair.client)
            wire[index] ^= 0x40
            var reading = Reading()
            feed(wire, to: pair.server) { server in
                reading = readAll(server)
                if reading.wantsInput {  // the length grew: the record is not complete
                    server.receivedEOF()
                    reading = readAll(server)
                }
            }
            #expect(reading.bytes.isEmpty)
            guard let error = reading.error else {
                #expect(index == 3 && reading.isTruncated)
                return
            }
            #expect(error.code == .protocolViolation)
            #expect(readAll(pair.server).error == error, "a failed session stays failed")
            #expect(write([1], to: pair.server)?.code == .protocolViolation)
            #expect(transfer(from: pair.server, to: pair.client).error?.code == .alertReceived)
        }

        @Test("a session moves to another thread between two calls")
        func threads() async throws {
            let pair = try Fixture.connected()
            struct Parcel: @unchecked Sendable { let pair: Pair }
            let parcel = Parcel(pair: pair)
            for round in 0..<20 {
                let sum = await Task.detached {
                    write([UInt8](repeating: UInt8(round), count: 30_000), to: parcel.pair.client)
                    return transfer(from: parcel.pair.client, to: parcel.pair.server).bytes.reduce(0) { $0 + Int($1) }
                }.value
                #expect(sum == round * 30_000)
            }
        }
    }
}
