import Bytes
import Gateway
import Testing

@Suite struct ProxyProtocolTests {
    private func parse(_ bytes: [UInt8]) -> ProxyProtocol.Parsed { bytes.withUnsafeBytes { ProxyProtocol.parse($0) } }
    private func parse(_ text: String) -> ProxyProtocol.Parsed { parse(Array(text.utf8)) }

    @Test func readsTheTextForm() {
        let line = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"
        let expected = ProxyHeader(
            version: 1,
            origin: .relayed(source: .init(ip("192.0.2.1"), 56324), destination: .init(ip("198.51.100.2"), 443)),
            size: line.utf8.count)
        #expect(parse(line + "GET / HTTP/1.1\r\n") == .header(expected))
        let six = "PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"
        let expected6 = ProxyHeader(
            version: 1, origin: .relayed(source: .init(ip("2001:db8::1"), 1), destination: .init(ip("::1"), 65535)),
            size: six.utf8.count)
        #expect(parse(six) == .header(expected6))
        let unknown = "PROXY UNKNOWN ffff::1 whatever\r\n"
        #expect(parse(unknown) == .header(ProxyHeader(version: 1, origin: .unknown, size: unknown.utf8.count)))
        #expect(parse("PROXY UNKNOWN\r\n") == .header(ProxyHeader(version: 1, origin: .unknown, size: 15)))
    }

    @Test func mappedSourcesBecomeIPv4() {
        let parsed = parse("PROXY TCP6 ::ffff:10.0.0.1 ::1 1 2\r\n")
        guard case .header(let header) = parsed, case .relayed(let source, _) = header.origin else {
            Issue.record("\(parsed)")
            return
        }
        #expect(source.address == ip("10.0.0.1"))
    }

    @Test(arguments: [
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", ProxyHeaderError.badLine),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", .badLine), ("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", .badLine),
        ("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", .badLine), ("PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n", .badLine),
        ("PROXY TCP4 ::1 192.0.2.2 1 2\r\n", .badAddress), ("PROXY TCP6 192.0.2.1 ::1 1 2\r\n", .badAddress),
        ("PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n", .badAddress), ("PROXY TCP4 192.0.2.1 x 1 2\r\n", .badAddress),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", .badPort), ("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", .badPort),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n", .badPort), ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r1", .badLine),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\nGET", .badLine), ("PROXY \r\n", .badLine), ("PROXY a\nb\r", .badLine),
        ("PROXY UN\u{212A}NOWN\r\n", .badLine),
        ("PROXY UNKNOWN " + String(repeating: "x", count: 100) + "\r\n", .lineTooLong),
    ])
    func refusesTextForms(_ line: String, _ error: ProxyHeaderError) {
        #expect(parse(line) == .invalid(error))
    }

    @Test(arguments: ["GET / HTTP/1.1\r\n", "PROXZ ", "\u{16}\u{3}", "\r\nGET", "P R", "proxy TCP4 "])
    func othersAreNotProxy(_ text: String) { #expect(parse(text) == .notProxy) }

    /// Every beginning of a header is incomplete, and never asks for more than there is.
    @Test func beginningsAreIncomplete() {
        let headers = [Array("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n".utf8), v2(tlvs: [0x04, 0, 1, 0])]
        for bytes in headers {
            for count in 0..<bytes.count {
                guard case .incomplete(let need) = parse(Array(bytes[..<count])) else {
                    Issue.record("\(count): \(parse(Array(bytes[..<count])))")
                    continue
                }
                #expect(need > count && need <= bytes.count)
            }
        }
    }

    @Test func takesTheHeaderOffTheQueue() {
        var queue = ByteQueue()
        queue.append(v2() + Array("rest".utf8))
        guard case .header(let header) = ProxyProtocol.parse(&queue) else {
            Issue.record("no header")
            return
        }
        #expect(
            header.origin
                == .relayed(source: .init(ip("192.0.2.1"), 0x1234), destination: .init(ip("198.51.100.2"), 443)))
        #expect(queue.copyBytes() == Array("rest".utf8))
    }

    @Test func readsTheBinaryForm() {
        let six = v2(command: 0x21, family: 0x21, addresses: ip("2001:db8::1").bytes + ip("::1").bytes + [0, 1, 0, 2])
        #expect(origin(six) == .relayed(source: .init(ip("2001:db8::1"), 1), destination: .init(ip("::1"), 2)))
        #expect(origin(v2(command: 0x20, family: 0, addresses: [])) == .local)
        #expect(origin(v2(command: 0x20)) == .local)
        #expect(origin(v2(command: 0x20, family: 0, addresses: [1, 2, 3])) == .local)
        #expect(origin(v2(family: 0, addresses: [])) == .unknown)
        #expect(origin(v2(family: 0x12)) == .unknown)
        #expect(origin(v2(family: 0x31, addresses: [UInt8](repeating: 0, count: 216))) == .unknown)
    }

    private func origin(_ bytes: [UInt8]) -> ProxyHeader.Origin? {
        if case .header(let header) = parse(bytes) { header.origin } else { nil }
    }

    @Test func refusesBinaryForms() {
        #expect(parse(v2(command: 0x11)) == .invalid(.badVersion))
        #expect(parse(v2(command: 0x22)) == .invalid(.badCommand))
        #expect(parse(v2(family: 0x41)) == .invalid(.badFamily))
        #expect(parse(v2(family: 0x13)) == .invalid(.badFamily))
        #expect(parse(v2(addresses: [1, 2, 3])) == .invalid(.tooShort))
        #expect(parse(v2(tlvs: [4, 0])) == .invalid(.badTLV))
        #expect(parse(v2(tlvs: [4, 0, 9, 1])) == .invalid(.badTLV))
        #expect(parse(v2(tlvs: [3, 0, 1, 1])) == .invalid(.badTLV))
        #expect(parse(v2(tlvs: [3, 0, 4, 1, 2, 3, 4])) == .invalid(.badChecksum))
        #expect(parse(v2(tlvs: [0x20, 0, 1, 1])) == .invalid(.badTLV))
        #expect(parse(v2(tlvs: [UInt8](repeating: 0, count: 5000))) == .invalid(.tooLong))
        #expect(parse(v2(tlvs: (0..<65).flatMap { _ in [UInt8(4), 0, 0] })) == .invalid(.badTLV))
        #expect(origin(v2(tlvs: (0..<64).flatMap { _ in [UInt8(4), 0, 0] })) != nil)
    }

    /// A wrong byte is refused as soon as it is there.
    @Test func refusesEarly() {
        #expect(parse(Array(v2(command: 0x11)[..<13])) == .invalid(.badVersion))
        #expect(parse(Array(v2(family: 0xF1)[..<14])) == .invalid(.badFamily))
    }

    @Test func checksTheChecksum() throws {
        // RFC 3720, B.4: 32 zeros give 8A9136AA; here over a whole header, computed by the table method.
        var bytes = v2(tlvs: [3, 0, 4, 0, 0, 0, 0])
        let crc = crc32c(bytes)
        for index in 0..<4 { bytes[bytes.count - 4 + index] = UInt8(truncatingIfNeeded: crc >> UInt32(24 - 8 * index)) }
        #expect(origin(bytes) != nil)
        bytes[17] ^= 1
        #expect(parse(bytes) == .invalid(.badChecksum))
        #expect(crc32c([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
    }

    @Test func tellsWhetherTheClientUsedTLS() {
        func usedTLS(_ tlvs: [UInt8]) -> Bool?? {
            if case .header(let header) = parse(v2(tlvs: tlvs)) { header.clientUsedTLS } else { nil }
        }
        #expect(usedTLS([]) == .some(nil))
        #expect(usedTLS([0x20, 0, 5, 1, 0, 0, 0, 0]) == .some(true))
        #expect(usedTLS([0x20, 0, 5, 0, 0, 0, 0, 0]) == .some(false))
    }

    private func v2(
        command: UInt8 = 0x21, family: UInt8 = 0x11,
        addresses: [UInt8] = [192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 1, 0xBB], tlvs: [UInt8] = []
    ) -> [UInt8] {
        let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
        let length = addresses.count + tlvs.count
        var bytes: [UInt8] = signature + [command, family]
        bytes += [UInt8(length >> 8), UInt8(length & 255)]
        return bytes + addresses + tlvs
    }

    /// With a table, unlike the room's.
    private func crc32c(_ bytes: [UInt8]) -> UInt32 {
        var table: [UInt32] = []
        for start in UInt32(0)..<256 {
            var value = start
            for _ in 0..<8 { value = value & 1 == 1 ? (value >> 1) ^ 0x82F6_3B78 : value >> 1 }
            table.append(value)
        }
        var crc: UInt32 = ~0
        for byte in bytes { crc = table[Int((crc ^ UInt32(byte)) & 255)] ^ (crc >> 8) }
        return ~crc
    }
}

@Suite struct FirstBytesTests {
    @Test(arguments: [
        ("", FirstBytes.needMore), ("\u{16}", .needMore), ("\u{16}\u{3}", .tls), ("\u{16}\u{2}", .other),
        ("G", .needMore), ("GE", .needMore), ("GET ", .http), ("POST / ", .http), ("A ", .other), ("get / ", .other),
        ("P", .needMore), ("PRO", .needMore), ("PROXY", .needMore), ("PROXY ", .proxyV1), ("PROPFIND ", .http),
        ("PRI * HTTP/2.0", .http), ("\r\n", .needMore), ("\r\nGET", .http), ("\r\n\r\n\0\r\nQUIT\n", .proxyV2),
        ("\r\n\r\nGET", .other), ("SSH-2.0-x", .other), ("\0", .other), ("HELLOWORLDXX", .http), ("GET\t", .other),
        ("\u{80}", .other), ("M-SEARCH * ", .http),
    ])
    func detects(_ text: String, _ expected: FirstBytes) {
        let bytes = text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
        #expect(bytes.withUnsafeBytes { FirstBytes.detect($0) } == expected)
    }

    /// A decision once made does not change with further bytes, and is made within `enough` bytes.
    @Test func decisionsStand() {
        for text in [
            "GET / HTTP/1.1", "PROXY TCP4 ", "\u{16}\u{3}\u{1}abc", "\r\n\r\n\0\r\nQUIT\n!", "ABCDEFGHIJKLMNOP",
        ] {
            let bytes = Array(text.utf8)
            var decided: FirstBytes?
            for count in 0...bytes.count {
                let seen = bytes[..<count].withUnsafeBytes { FirstBytes.detect($0) }
                if let decided { #expect(seen == decided) }
                if seen != .needMore { decided = decided ?? seen }
                if count >= FirstBytes.enough { #expect(seen != .needMore) }
            }
        }
    }
}
