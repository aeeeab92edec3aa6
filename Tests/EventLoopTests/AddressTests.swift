import EventLoop
import Foundation
import Testing

@Suite struct AddressTests {
    @Test(arguments: [
        "127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80", "[::]:7400", "[2001:db8::1]:443",
        "[fe80::1%lo]:80", "[::ffff:127.0.0.1]:80", "unix:/run/mesh.sock", "unix:relative.sock", "unix:@abstract",
    ])
    func roundTrip(text: String) throws {
        let address = try SocketAddress(parsing: text)
        #expect(address.description == text)
        #expect(try SocketAddress(parsing: address.description) == address)
        let endpoint = try Endpoint(parsing: text)
        #expect(endpoint.address == address)
        #expect(endpoint.description == text)
    }

    @Test(
        arguments: [
            ("", .empty), ("127.0.0.1", .missingPort), ("127.0.0.1:", .badPort), ("127.0.0.1:65536", .badPort),
            ("127.0.0.1:-1", .badPort), ("127.0.0.1:+1", .badPort), ("127.0.0.1:8O", .badPort),
            ("127.0.0.1:000080", .badPort), ("127.0.0.1: 80", .badPort), ("127.0.0.1:80 ", .badPort),
            ("::1:80", .badHost), ("[::1]", .missingPort), ("[::1", .badHost), ("[::1]80", .missingPort),
            ("[127.0.0.1]:80", .badHost), ("[localhost]:80", .badHost), ("[::g]:80", .badHost), ("[]:80", .badHost),
            ("[fe80::1%nosuchinterface]:80", .unknownZone), ("unix:", .badPath), ("unix:@", .badPath),
            ("unix:/" + String(repeating: "x", count: 107), .badPath),
        ] as [(String, AddressError.Code)])
    func refuses(text: String, code: AddressError.Code) {
        #expect(throws: AddressError(code, text)) { try SocketAddress(parsing: text) }
        #expect(throws: AddressError(code, text)) { try Endpoint(parsing: text) }
        #expect(AddressError(code, text).description.contains("\"\(text)\"") || text.isEmpty)
    }

    @Test(arguments: [
        "localhost:80", "127.1:80", "127.0.0.01:80", "256.0.0.1:80", "1.2.3.4.5:80", ":80", "0x7f000001:80", "1:2",
    ])
    func addressesAreNoNames(text: String) {
        #expect(throws: AddressError(.badHost, text)) { try SocketAddress(parsing: text) }
    }

    @Test(arguments: [
        "localhost:80", "db.internal:5432", "db_1.internal.:1", "xn--bcher-kva.example:443", "a1:1", "1a:1",
    ])
    func namesAreEndpoints(text: String) throws {
        let endpoint = try Endpoint(parsing: text)
        #expect(endpoint.address == nil)
        #expect(endpoint.description == text)
        #expect(text == "\(endpoint.host):\(try #require(endpoint.port))")
    }

    @Test(arguments: [
        ":80", "127.1:80", "10.0.0.256:80", "1:80", "-a:80", "a-:80", "a..b:80", ".a:80", ".:80", "a b:80", "bücher:80",
        "a/b:80", "0x7f.1:80", "a.1:80", String(repeating: "a", count: 64) + ":80",
        String(repeating: "a.", count: 127) + "ab:80",
    ])
    func badNamesAreRefused(text: String) {
        #expect(throws: AddressError(.badHost, text)) { try Endpoint(parsing: text) }
    }

    @Test func endpointFromParts() throws {
        #expect(try Endpoint(host: "db", port: 1) == Endpoint(parsing: "db:1"))
        #expect(try Endpoint(host: "::1", port: 1) == Endpoint(parsing: "[::1]:1"))
        #expect(throws: AddressError(.badHost, "a b:1")) { try Endpoint(host: "a b", port: 1) }
    }

    @Test func loopback() throws {
        for text in ["127.0.0.1:1", "127.1.2.3:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:/x"] {
            #expect(try SocketAddress(parsing: text).isLoopback, "\(text)")
        }
        for text in ["0.0.0.0:1", "128.0.0.1:1", "126.0.0.1:1", "[::]:1", "[::2]:1", "[::127.0.0.1]:1", "[fe80::1]:1"] {
            #expect(try !SocketAddress(parsing: text).isLoopback, "\(text)")
        }
    }

    @Test func parts() throws {
        let four = try SocketAddress(parsing: "10.1.2.3:80")
        #expect(four == .ipv4(IPv4Address(0x0A01_0203), port: 80))
        #expect((four.host, four.port) == ("10.1.2.3", 80))
        #expect(four.with(port: 81).description == "10.1.2.3:81")
        let six = try SocketAddress(parsing: "[2001:DB8:0::1]:80")
        #expect(six == .ipv6(IPv6Address(high: 0x2001_0DB8_0000_0000, low: 1), port: 80))
        #expect((six.host, six.port) == ("2001:db8::1", 80))
        let unix = try SocketAddress(parsing: "unix:/x")
        #expect((unix.host, unix.port) == ("/x", nil))
        #expect(try SocketAddress(parsing: "[::]:1").isWildcard)
        #expect(try SocketAddress(parsing: "0.0.0.0:1").isWildcard)
        #expect(!four.isWildcard && !six.isWildcard && !unix.isWildcard)
    }

    @Test func errorsNameCallSubjectAndReason() {
        let error = SystemError(call: "bind", subject: "127.0.0.1:80", errno: EACCES)
        #expect(error.description == "bind 127.0.0.1:80: Permission denied (EACCES)")
        #expect(error.code == "eacces")
        #expect(error.hint?.contains("CAP_NET_BIND_SERVICE") == true)
        #expect(SystemError(call: "epoll_wait", errno: EBADF).description == "epoll_wait: Bad file descriptor (EBADF)")
        #expect(SystemError(call: "x", errno: 9999).description == "x: unknown error (errno 9999)")
    }
}
