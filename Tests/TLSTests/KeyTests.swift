import TLS
import Testing

extension TLSTests {
    @Suite("Keys")
    struct KeyTests {
        @Test("sending keys change in mid-stream, both ways, as often as one likes")
        func updates() throws {
            let pair = try Fixture.connected()
            for round in 0..<50 {
                for (from, to) in [(pair.client, pair.server), (pair.server, pair.client)] {
                    let before = [UInt8](repeating: UInt8(round), count: 20_000)
                    write(before, to: from)
                    #expect(from.bytesSealedSinceKeyUpdate == 20_000)
                    guard case .updated = from.requestKeyUpdate() else {
                        Issue.record("no key update")
                        return
                    }
                    #expect(from.bytesSealedSinceKeyUpdate == 0)
                    #expect(from.recordsSealedSinceKeyUpdate == 0)
                    write([1, 2, 3], to: from)
                    from.withOutput { _ in 0 }
                    let reading = transfer(from: from, to: to)
                    #expect(reading.bytes == before + [1, 2, 3])
                    #expect(reading.wantsInput)
                    #expect(to.pendingOutput == 0, "no answer was asked for")
                    write([9], to: from)
                    #expect(transfer(from: from, to: to).bytes == [9])
                    _ = from.requestKeyUpdate()
                    #expect(transfer(from: from, to: to).bytes.isEmpty)
                }
            }
        }

        @Test("TLS 1.2 has no key update, and none is possible before the handshake is complete")
        func unsupported() throws {
            let pair = try Fixture.connected(version: .tls12)
            guard case .notSupported = pair.client.requestKeyUpdate() else {
                Issue.record("TLS 1.2 cannot update keys")
                return
            }
            write([5], to: pair.client)
            #expect(transfer(from: pair.client, to: pair.server).bytes == [5])
            let fresh = try TLSSession(context: Fixture.context(.client), expecting: .anyIdentity)
            guard case .notSupported = fresh.requestKeyUpdate() else {
                Issue.record("no keys yet")
                return
            }
        }

        @Test("key updates without data between them are a flood above 32")
        func flood() throws {
            for (count, passes) in [(32, true), (33, false), (200, false)] {
                let pair = try Fixture.connected()
                for _ in 0..<count { _ = pair.client.requestKeyUpdate() }
                write([1], to: pair.client)
                let reading = transfer(from: pair.client, to: pair.server)
                #expect(reading.bytes == (passes ? [1] : []))
                #expect((reading.error?.code == .messageFlood) == !passes)
            }
        }

        @Test("records are counted for the limit of the key")
        func counting() throws {
            let pair = try Fixture.connected()
            _ = pair.client.requestKeyUpdate()
            for _ in 0..<100 { write([0], to: pair.client) }
            #expect(pair.client.recordsSealedSinceKeyUpdate == 100)
            #expect(pair.client.bytesSealedSinceKeyUpdate == 100)
            #expect(!pair.client.isKeyUpdateDue)
            #expect(Double(TLSSession.recordsPerKey) < 23_726_566, "2^24.5, RFC 8446 section 5.5")
        }

        @Test("both ends export the same key material, others by label, context and session")
        func exporter() throws {
            for version in [TLSVersion.tls12, .tls13] {
                let pair = try Fixture.connected(version: version)
                let one = try pair.client.exporter(label: "EXPORTER-conduit-test", context: [1, 2], count: 32)
                #expect(one.count == 32)
                #expect(try pair.server.exporter(label: "EXPORTER-conduit-test", context: [1, 2], count: 32) == one)
                #expect(try pair.server.exporter(label: "EXPORTER-conduit-test", context: [1, 3], count: 32) != one)
                #expect(try pair.server.exporter(label: "EXPORTER-conduit-other", context: [1, 2], count: 32) != one)
                let other = try Fixture.connected(version: version)
                #expect(try other.client.exporter(label: "EXPORTER-conduit-test", context: [1, 2], count: 32) != one)
            }
            let fresh = try TLSSession(context: Fixture.context(.client), expecting: .anyIdentity)
            #expect(throws: TLSError.self) { try fresh.exporter(label: "EXPORTER-conduit-test", count: 32) }
        }
    }
}
