import Gateway
import SeededRandom
import Testing

@Suite struct AddressTests {
    @Test(arguments: [
        ("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "::"), ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"), ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("1::", "1::"), ("::8", "::8"), ("1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"),
        ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"), ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
        ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
    ])
    func reads(_ text: String, _ canonical: String) throws {
        let address = try #require(IPAddress(parsing: text))
        #expect(address.description == canonical)
        #expect(IPAddress(parsing: canonical) == address)
        #expect(IPAddress(bytes: address.bytes) == address)
    }

    @Test(arguments: [
        "", " ", "1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256", "1.2.3.4 ", " 1.2.3.4", "0x7f.0.0.1", "1.2.3.4:80",
        "127.1", "1.2.3.-4", "1..3.4", "1.2.3.", ":", ":::", "1:2", "::1::", "1::2::3", "12345::", "[::1]", "::1%lo",
        "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1.2.3", "1.2.3.4::", "::ffff:1.2.3.4:5", "g::", "1:2:3:4:5:6:7:",
        ":1:2:3:4:5:6:7", "::1.2.3.4.5", "１.2.3.4", "1:2:3:4:5:6:7:1.2.3.4",
    ])
    func refuses(_ text: String) {
        #expect(IPAddress(parsing: text) == nil)
    }

    @Test func mappedAddressesAreIPv4() throws {
        let mapped = try #require(IPAddress(bytes: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 10, 1, 2, 3]))
        #expect(mapped == IPAddress(v4: 0x0A01_0203))
        #expect(mapped.isIPv4 && mapped.bytes == [10, 1, 2, 3])
        #expect(IPAddress(high: 0, low: 0xFFFF_7F00_0001).isLoopback)
        #expect(!IPAddress(high: 0, low: 0x7F00_0001).isLoopback)
        #expect(IPAddress(bytes: [1, 2, 3]) == nil)
    }

    @Test func limitsCountIPv6ByNetwork() throws {
        let a = try #require(IPAddress(parsing: "2001:db8:1:2:3::1"))
        let b = try #require(IPAddress(parsing: "2001:db8:1:2:ffff::9"))
        #expect(a.limitKey == b.limitKey && a != b)
        #expect(a.limitKey.description == "2001:db8:1:2::")
        #expect(IPAddress(v4: 1).limitKey == IPAddress(v4: 1))
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.255.255", true), ("10.0.0.0/8", "11.0.0.0", false),
        ("10.0.0.0/8", "::ffff:10.1.1.1", true), ("::ffff:10.0.0.0/104", "10.1.2.3", true),
        ("0.0.0.0/0", "1.2.3.4", true), ("0.0.0.0/0", "::1", false), ("::/0", "::1", true), ("::/0", "1.2.3.4", false),
        ("::ffff:0.0.0.0/96", "9.9.9.9", true), ("192.0.2.1", "192.0.2.1", true), ("192.0.2.1", "192.0.2.2", false),
        ("2001:db8::/33", "2001:db8:7fff::", true), ("2001:db8::/33", "2001:db8:8000::", false),
        ("2001:db8::1/128", "2001:db8::1", true), ("255.255.255.255/32", "255.255.255.255", true),
    ])
    func blocks(_ block: String, _ address: String, _ contains: Bool) throws {
        let address = try #require(IPAddress(parsing: address))
        let block = try CIDR(parsing: block)
        #expect(block.contains(address) == contains)
        #expect(CIDRSet([block]).contains(address) == contains)
    }

    @Test(arguments: [
        ("10.0.0.1/8", "host_bits_set"), ("10.0.0.0/33", "bad_prefix_length"), ("10.0.0.0/", "bad_prefix_length"),
        ("10.0.0.0/08", "bad_prefix_length"), ("10.0.0.0/+8", "bad_prefix_length"), ("::/129", "bad_prefix_length"),
        ("10.0.0/8", "bad_address"), ("unix", "bad_address"), ("::ffff:10.0.0.0/8", "bad_prefix_length"),
        ("10.0.0.0/8/8", "bad_prefix_length"), ("", "bad_address"), ("2001:db8::1/64", "host_bits_set"),
    ])
    func refusesBlocks(_ text: String, _ reason: String) {
        let error = #expect(throws: CIDRError.self) { try CIDR(parsing: text) }
        #expect(error?.reason == reason)
    }

    @Test func hostBitsComeWithASuggestion() {
        let error = #expect(throws: CIDRError.self) { try CIDR(parsing: "10.1.2.3/16") }
        #expect(error?.description.contains("10.1.0.0/16") == true)
    }

    /// The set answers as its blocks do, whatever overlaps.
    @Test func setsAreTheUnionOfTheirBlocks() throws {
        var random = SeededRandom(7)
        for _ in 0..<200 {
            let blocks = (0..<Int.random(in: 0...12, using: &random)).compactMap { _ -> CIDR? in
                let address = IPAddress(v4: UInt32.random(in: 0...0xFFF, using: &random) << 20)
                return CIDR(address, length: Int.random(in: 4...16, using: &random))
            }
            let set = CIDRSet(blocks)
            for _ in 0..<50 {
                let address = IPAddress(v4: UInt32.random(in: .min ... .max, using: &random))
                let expected = blocks.contains { $0.contains(address) }
                #expect(set.contains(address) == expected)
            }
        }
    }

    @Test func denyWins() throws {
        let filter = AddressFilter(
            allow: try CIDRSet(parsing: ["10.0.0.0/8"]), deny: try CIDRSet(parsing: ["10.1.0.0/16"]))
        #expect(filter.admits(IPAddress(v4: 0x0A00_0001)))
        #expect(!filter.admits(IPAddress(v4: 0x0A01_0001)))
        #expect(!filter.admits(IPAddress(v4: 0x0B00_0001)))
        #expect(AddressFilter(deny: try CIDRSet(parsing: ["::/0"])).admits(IPAddress(v4: 1)))
    }
}
