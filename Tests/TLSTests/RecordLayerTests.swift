import SeededRandom
import TLS
import Testing

/// Records that are ours on both ends, on one, or on none.
private func pair(ends: Int) throws -> Pair {
    func context(_ role: TLSContext.Role, _ accelerated: Bool) throws -> TLSContext {
        var configuration = try Fixture.configuration(role)
        configuration.acceleration = accelerated
        return try TLSContext(configuration)
    }
    return try Fixture.connected(try context(.client, ends & 1 != 0), try context(.server, ends & 2 != 0))
}

extension TLSTests {
    @Suite("Records of TLS 1.3", .enabled(if: TLSAcceleration.load().isActive))
    struct RecordLayerTests {
        @Test(
            "every byte arrives, in whatever pieces it is written, sent and read, through key updates", arguments: 0..<4
        )
        func pieces(ends: Int) throws {
            let pair = try pair(ends: ends)
            var random = SeededRandom(UInt64(40 + ends))
            for (from, to) in [(pair.client, pair.server), (pair.server, pair.client)] {
                var written: [UInt8] = []
                var wire: [UInt8] = []
                for _ in 0..<60 {
                    let bytes = random.bytes(
                        Int.random(in: 1...(Bool.random(using: &random) ? 40_000 : 64), using: &random))
                    #expect(write(bytes, to: from) == nil)
                    written += bytes
                    if Int.random(in: 0..<4, using: &random) == 0 { _ = from.requestKeyUpdate() }
                    wire += take(from)
                }
                var read: [UInt8] = []
                var at = 0
                while at < wire.count {
                    let next = min(
                        wire.count - at, Int.random(in: 1...(Bool.random(using: &random) ? 30_000 : 20), using: &random)
                    )
                    let capacity = Bool.random(using: &random) ? 65_536 : Int.random(in: 1...3_000, using: &random)
                    feed(Array(wire[at..<at + next]), to: to) {
                        let reading = readAll($0, capacity: capacity)
                        #expect(reading.wantsInput)
                        read += reading.bytes
                    }
                    at += next
                }
                #expect(read.elementsEqual(written), "\(written.count) bytes")
            }
        }

        @Test("a window that ends with a record is known to be empty, one that does not is used up all the same")
        func windows() throws {
            let pair = try pair(ends: 3)
            write([UInt8](repeating: 1, count: 40_000), to: pair.client)
            let wire = take(pair.client)
            var buffer = [UInt8](repeating: 0, count: 100_000)
            let window = Array(wire[..<20_000])
            window.withUnsafeBytes { window in
                pair.server.setInput(window)
                guard case .bytes(16_384) = buffer.withUnsafeMutableBytes({ pair.server.read(into: $0) }) else {
                    Issue.record("the first record is whole")
                    return
                }
                #expect(pair.server.wantsInput && pair.server.unreadInput == 0)
            }
            feed(Array(wire[20_000...]), to: pair.server) { #expect(readAll($0).bytes.count == 40_000 - 16_384) }
        }

        @Test("padding is taken off, whole records of it count as silence")
        func padding() throws {
            let peer = try RawPeer()
            for padding in [0, 1, 15, 16, 300, 16_000] {
                feed(peer.record(23, [1, 2, 3], padding: padding), to: peer.server) {
                    #expect(readAll($0).bytes == [1, 2, 3])
                }
            }
            feed(peer.record(23, [UInt8](repeating: 7, count: 16_384)), to: peer.server) {
                #expect(readAll($0).bytes.count == 16_384)
            }
            var wire: [UInt8] = []
            for _ in 0..<32 { wire += peer.record(23, [], padding: 10) }
            feed(wire + peer.record(23, [5]), to: peer.server) { #expect(readAll($0).bytes == [5]) }
            wire = []
            for _ in 0..<33 { wire += peer.record(23, []) }
            feed(wire, to: peer.server) { #expect(readAll($0).error?.code == .messageFlood) }
        }

        /// Each offence with its alert: unexpected_message 10, bad_record_mac 20, record_overflow 22, illegal_parameter 47,
        /// decode_error 50.
        @Test(
            "what has no place here ends the session with its alert",
            arguments: [
                (22, [], 0, 10), (22, [24, 0, 0], 0, 50), (22, [24, 0, 0, 1, 0, 24], 0, 10),
                (22, [24, 0, 0, 2, 0, 0], 0, 10),
                (22, [24, 0, 0, 1, 2], 0, 47), (22, [24, 0, 0, 1], 0, 10), (22, [4, 0, 0, 1, 0], 0, 10),
                (22, [13, 0, 0, 1, 0], 0, 10), (22, [1, 0, 0, 0], 0, 10), (21, [2], 0, 50), (21, [2, 40, 0], 0, 50),
                (20, [1], 0, 10), (99, [1, 2], 3, 10), (0, [0, 0, 0], 4, 10),
            ] as [(UInt8, [UInt8], Int, UInt8)])
        func violations(type: UInt8, content: [UInt8], padding: Int, alert: UInt8) throws {
            let peer = try RawPeer()
            // What came before is still delivered.
            let wire = peer.record(23, [8, 8]) + peer.record(type, content, padding: padding) + peer.record(23, [9])
            feed(wire, to: peer.server) {
                let reading = readAll($0)
                #expect(reading.bytes == [8, 8])
                #expect(reading.error?.code == .protocolViolation)
                #expect(reading.error?.alert?.rawValue == alert)
            }
            let answer = peer.open(take(peer.server))
            #expect(answer.count == 1 && answer[0]?.type == 21 && answer[0]?.content == [2, alert])
            #expect(peer.server.alertSent?.rawValue == alert)
            #expect(write([1], to: peer.server) != nil)
        }

        @Test("lengths and types outside of the protection are judged before anything is gathered")
        func headers() throws {
            for (header, alert) in [
                ([23, 3, 3, 0x41, 0x01], 22), ([23, 3, 3, 0xff, 0xff], 22), ([23, 3, 3, 0, 16], 50),
                ([23, 3, 3, 0, 0], 50),
                ([22, 3, 3, 0, 30], 10), ([21, 3, 3, 0, 2], 10), ([20, 3, 3, 0, 1], 10),
                ([0x47, 0x45, 0x54, 0x20, 0x2f], 10),
            ] as [([UInt8], UInt8)] {
                for cut in [1, 5] {
                    let peer = try RawPeer()
                    var reading = Reading()
                    feed(Array(header[..<cut]), to: peer.server) { reading = readAll($0) }
                    if cut < 5 { feed(Array(header[cut...]), to: peer.server) { reading = readAll($0) } }
                    #expect(reading.error?.alert?.rawValue == alert, "\(header)")
                }
            }
            // Content above 16,384 bytes in a record that is not too long.
            let peer = try RawPeer()
            feed(peer.record(23, [UInt8](repeating: 1, count: 16_385)), to: peer.server) {
                #expect(readAll($0).error?.alert?.rawValue == 22)
            }
        }

        @Test("records that are repeated, left out, exchanged or changed do not open", arguments: 0..<4)
        func order(kind: Int) throws {
            let peer = try RawPeer()
            let records = (1...3).map { peer.record(23, [UInt8($0)]) }
            var changed = records[1]
            changed[10] ^= 4
            let wire = [
                records[0] + records[0], records[0] + records[2], records[0] + changed,
                records[0] + records[1].dropLast() + [0],
            ][kind]
            feed(wire, to: peer.server) {
                let reading = readAll($0)
                #expect(reading.bytes == [1] && reading.error?.alert == .badRecordMAC)
            }
            // A peer that goes on after the failure is not heard.
            feed(records[1], to: peer.server) { #expect(readAll($0).error != nil) }
        }

        @Test("an update that asks for ours gets it, before what is sealed next")
        func requestedUpdate() throws {
            let peer = try RawPeer()
            let update = peer.record(22, [24, 0, 0, 1, 1])
            peer.updateSending()
            feed(update + peer.record(23, [4, 4]), to: peer.server) { #expect(readAll($0).bytes == [4, 4]) }
            write([6], to: peer.server)
            let wire = take(peer.server)
            let first = peer.open(Array(wire[..<27]))
            #expect(first[0]?.type == 22 && first[0]?.content == [24, 0, 0, 1, 0])
            peer.updateReceiving()
            let second = peer.open(Array(wire[27...]))
            #expect(second[0]?.type == 23 && second[0]?.content == [6])
            // Under the key before, nothing opens any more.
            let old = try RawPeer()
            let stale = old.record(22, [24, 0, 0, 1, 0]) + old.record(23, [1])
            feed(stale, to: old.server) { #expect(readAll($0).error?.alert == .badRecordMAC) }
        }

        @Test("requests without end cost one answer, which comes with the next data")
        func requestsAreOneDebt() throws {
            let peer = try RawPeer()
            for _ in 0..<200 {
                var wire: [UInt8] = []
                for _ in 0..<32 {
                    wire += peer.record(22, [24, 0, 0, 1, 1])
                    peer.updateSending()
                }
                feed(wire + peer.record(23, [1]), to: peer.server) { #expect(readAll($0).bytes == [1]) }
            }
            #expect(peer.server.pendingOutput == 0)
            write([2], to: peer.server)
            let wire = take(peer.server)
            #expect(peer.open(Array(wire[..<27])).map { $0?.type } == [22])
            peer.updateReceiving()
            #expect(peer.open(Array(wire[27...])).map { $0?.content } == [[2]])
        }

        @Test("user_canceled is no error, and not free either")
        func userCanceled() throws {
            let peer = try RawPeer()
            let wire = peer.record(23, [7]) + peer.record(21, [1, 90]) + peer.record(21, [1, 0])
            feed(wire, to: peer.server) {
                let reading = readAll($0)
                #expect(reading.bytes == [7] && reading.isClean)
            }
            let endless = try RawPeer()
            var flood: [UInt8] = []
            for _ in 0..<33 { flood += endless.record(21, [1, 90]) }
            feed(flood, to: endless.server) { #expect(readAll($0).error?.code == .messageFlood) }
        }

        @Test("after our goodbye no key is changed, and the end of the input is an end for writers, too")
        func afterTheEnd() throws {
            let peer = try RawPeer()
            peer.server.shutdown()
            _ = take(peer.server)
            guard case .failed = peer.server.requestKeyUpdate() else {
                Issue.record("a key update behind close_notify")
                return
            }
            #expect(peer.server.pendingOutput == 0)
            feed(peer.record(20, [1]), to: peer.server) { #expect(readAll($0).error != nil) }
            #expect(peer.server.alertSent == nil && peer.server.pendingOutput == 0)
            let cut = try RawPeer()
            cut.server.receivedEOF()
            #expect(readAll(cut.server).isTruncated)
            #expect(write([1], to: cut.server)?.code == .truncated)
        }

        @Test("alerts of the peer: close_notify is a clean end, every other one the end with its name")
        func alerts() throws {
            let clean = try RawPeer()
            feed(clean.record(23, [1]) + clean.record(21, [1, 0]) + clean.record(23, [2]), to: clean.server) {
                let reading = readAll($0)
                #expect(reading.bytes == [1] && reading.isClean)
            }
            #expect(write([3], to: clean.server) == nil, "our direction is still open")
            clean.server.shutdown()
            #expect(clean.open(take(clean.server)).map { $0?.type } == [23, 21])
            let refused = try RawPeer()
            feed(refused.record(21, [1, 48]), to: refused.server) {
                #expect(readAll($0).error?.alert == .unknownCA)
            }
            #expect(refused.server.alertReceived == .unknownCA)
        }

        @Test(
            "random records, authentic and not, end the session or bring what was meant, and nothing else",
            arguments: 0..<60)
        func randomRecords(seed: Int) throws {
            var random = SeededRandom(UInt64(seed) &* 77)
            let peer = try RawPeer()
            let types: [UInt8] = [23, 23, 23, 23, 22, 21, 20, 0]
            var meant: [UInt8] = []
            var wire: [UInt8] = []
            for _ in 0..<40 {
                let type = types[Int.random(in: 0..<types.count, using: &random)]
                var content = random.bytes(Int.random(in: 0...40, using: &random))
                if type == 22, Bool.random(using: &random) {
                    content = [24, 0, 0, 1, UInt8.random(in: 0...2, using: &random)]
                }
                var record = peer.record(type, content, padding: Int.random(in: 0...3, using: &random))
                if type == 23 { meant += content }
                if type == 22, content.count == 5, content[4] < 2, content.starts(with: [24, 0, 0, 1]) {
                    peer.updateSending()
                }
                if Int.random(in: 0..<30, using: &random) == 0 {
                    record[Int.random(in: 0..<record.count, using: &random)] ^=
                        1 << UInt8.random(in: 0..<8, using: &random)
                }
                wire += record
            }
            var read: [UInt8] = []
            var isOver = false
            while !wire.isEmpty, !isOver {
                let next = Int.random(in: 1...wire.count, using: &random)
                feed(Array(wire[..<next]), to: peer.server) {
                    let reading = readAll($0, capacity: Int.random(in: 1...64, using: &random))
                    read += reading.bytes
                    isOver = !reading.wantsInput
                }
                wire.removeFirst(next)
            }
            #expect(meant.starts(with: read))
            #expect(!wire.isEmpty || !isOver || peer.server.alertSent != nil || peer.server.alertReceived != nil)
        }
    }
}
