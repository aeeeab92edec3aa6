import Bytes
import Link
import Testing

@Suite struct FrameTests {
    private func parse(_ bytes: [UInt8]) -> LinkFrame.Parsed { bytes.withUnsafeBytes { LinkFrame.parse($0) } }

    @Test func headerIsTypeFlagsAndSixByteID() {
        let frame = LinkFrame(type: .data, flags: .finish, streamID: 0x0102_0304_0506)
        #expect(frame.encoded(payload: [9]) == [0x04, 0x01, 1, 2, 3, 4, 5, 6, 9])
        #expect(parse([0x04, 0x01, 1, 2, 3, 4, 5, 6, 9]) == .frame(frame))
        var buffer = [UInt8](repeating: 0xFF, count: 8)
        buffer.withUnsafeMutableBytes { frame.encode(into: $0.baseAddress!) }
        #expect(buffer == [0x04, 0x01, 1, 2, 3, 4, 5, 6])
    }

    @Test(arguments: FrameType.allCases) func typeSaysWhetherItWantsAStream(_ type: FrameType) {
        let withID = parse(LinkFrame(type: type, streamID: 2).encoded())
        let without = parse(LinkFrame(type: type).encoded())
        #expect(withID == (type.isStreamFrame ? .frame(LinkFrame(type: type, streamID: 2)) : .invalid))
        #expect(without == (type.isStreamFrame ? .invalid : .frame(LinkFrame(type: type))))
        #expect(type.isSequenced == (type.rawValue < 0x80))
    }

    @Test func numbersOnTheWireNeverChange() {
        let numbers: [FrameType: UInt8] = [
            .open: 1, .accept: 2, .refuse: 3, .data: 4, .end: 5, .reset: 6, .credit: 7, .goAway: 8, .switchLink: 9,
            .transfer: 10, .taken: 11, .hello: 0x80, .ack: 0x81, .ping: 0x82, .pong: 0x83, .resume: 0x84, .auth: 0x85,
            .move: 0x86, .lanes: 0x87,
        ]
        #expect(numbers.count == FrameType.allCases.count)
        for (type, number) in numbers { #expect(type.rawValue == number) }
    }

    @Test func onlyDataMayHaveTheFinishFlagAndNothingHasOthers() {
        for type in FrameType.allCases {
            for bit in 0..<8 {
                let flags = FrameFlags(rawValue: 1 << UInt8(bit))
                let parsed = parse(LinkFrame(type: type, flags: flags, streamID: type.isStreamFrame ? 1 : 0).encoded())
                #expect((parsed == .invalid) == !(type == .data && bit == 0), "\(type) with bit \(bit)")
            }
        }
    }

    @Test func unknownTypesAreSkippedOnlyWhenTheyAllowIt() {
        #expect(parse([0x0C, 0x80, 0, 0, 0, 0, 0, 1, 5]) == .skip(sequenced: true))
        #expect(parse([0x90, 0x83, 0, 0, 0, 0, 0, 0]) == .skip(sequenced: false))
        #expect(parse([0x0C, 0x00, 0, 0, 0, 0, 0, 1]) == .invalid)
        #expect(parse([0x00, 0x00, 0, 0, 0, 0, 0, 0]) == .invalid)
    }

    @Test(arguments: 0..<8) func shorterThanAHeaderIsInvalid(_ count: Int) {
        #expect(parse(Array(LinkFrame(type: .end, streamID: 1).encoded().prefix(count))) == .invalid)
    }
}

@Suite struct PayloadTests {
    private func hello(_ bytes: [UInt8]) throws(PayloadError) -> Hello {
        let result: Result<Hello, PayloadError> = bytes.withUnsafeBytes { buffer in
            do throws(PayloadError) { return .success(try Hello(payload: buffer)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    private func open(_ bytes: [UInt8]) -> Result<OpenRequest, PayloadError> {
        bytes.withUnsafeBytes { buffer in
            do throws(PayloadError) {
                return .success(try OpenRequest.parse(payload: buffer).request)
            } catch {
                return .failure(error)
            }
        }
    }

    private let example: [UInt8] = [
        1, 1, 0, 0,  // versions, intent, lane
        0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 8,  // boot id
        0, 0, 1, 0x8B, 0xCF, 0xE5, 0x68, 0,  // clock
        0, 0, 0xFF, 0,  // maximum payload
        0, 0, 0x40, 0,  // initial credit
        0, 0, 0x40, 0,  // maximum streams
        0, 0, 0, 0, 1, 0, 0, 0,  // retained limit
        4, 0x74, 0x65, 0x73, 0x74,  // agent
    ]

    @Test func helloByteForByte() throws {
        #expect(Harness.hello().encodedPayload() == example)
        #expect(try hello(example) == Harness.hello())
    }

    @Test func helloSurvivesTheWayThere() throws {
        for (intent, lane): (LinkIntent, UInt8) in [(.initial, 0), (.replace, 15), (.initial, 3), (.move, 1)] {
            let original = Harness.hello {
                $0.intent = intent
                $0.lane = lane
                $0.versions = 1...9
                $0.agent = "ä"
                $0.extensions = [FrameExtension(type: 500, value: [1, 2]), FrameExtension(type: 1, value: [])]
            }
            #expect(try hello(original.encodedPayload()) == original)
        }
    }

    @Test func everyPrefixOfAHelloIsRefused() {
        for count in 0..<example.count {
            #expect(throws: PayloadError.truncated) { try hello(Array(example.prefix(count))) }
        }
    }

    @Test func helloFieldsOutOfRange() {
        func changed(_ offset: Int, _ bytes: [UInt8]) -> [UInt8] {
            var copy = example
            copy.replaceSubrange(offset..<offset + bytes.count, with: bytes)
            return copy
        }
        let cases: [([UInt8], PayloadError)] = [
            (changed(0, [0, 1]), .badField("versions")), (changed(0, [2, 1]), .badField("versions")),
            (changed(2, [4, 0]), .badField("intent")), (changed(2, [0, 16]), .badField("lane")),
            (changed(2, [2, 0]), .badField("intent")), (changed(28, [0, 0, 0x0F, 0xFF]), .badField("maximum payload")),
            (changed(28, [0, 0, 0xFF, 1]), .badField("maximum payload")),
            (changed(32, [0, 0x10, 0, 1]), .badField("initial credit")), (changed(49, [0xFF]), .invalidUTF8),
            (example + [0], .truncated), (example + [0, 1, 0, 2, 5], .truncated),
            (example + [0, 1, 0, 0, 0, 1, 0, 0], .duplicateExtension(1)),
            (example + [0, 1, 4, 1], .badField("extension length")),
            (example + [UInt8](repeating: 0, count: 5_000), .badField("length")),
        ]
        for (bytes, error) in cases {
            #expect(throws: error) { try hello(bytes) }
        }
    }

    @Test func openByteForByte() throws {
        let request = OpenRequest(service: "db", instance: "B/db", principal: "uid:7")
        let bytes: [UInt8] =
            [0, 0, 0x40, 0, 2] + Array("db".utf8) + [4] + Array("B/db".utf8) + [5] + Array("uid:7".utf8)
        #expect(request.encodedPayload(initialCredit: 16 << 10) == bytes)
        #expect(try open(bytes).get() == request)
        for count in 0..<bytes.count {
            #expect(open(Array(bytes.prefix(count))) == .failure(.truncated), "prefix of \(count)")
        }
    }

    @Test func openWithTraceAndExtensions() throws {
        var request = OpenRequest(service: "s", traceID: Array(1...16))
        request.extensions = [FrameExtension(type: 9, value: [1])]
        #expect(request.isEncodable)
        #expect(try open(request.encodedPayload(initialCredit: 0)).get() == request)
        let wrong: [UInt8] = [0, 0, 0, 0, 1, 0x73, 0, 0, 0, 1, 0, 1, 7]
        #expect(open(wrong) == .failure(.badField("trace id")))
        #expect(open([0, 0, 0, 0, 0, 0, 0]) == .failure(.badField("service")))
        #expect(open([0, 0, 0, 0, 1, 0xC0, 0, 0]) == .failure(.invalidUTF8))
        #expect(open([0, 0x10, 0, 1, 1, 0x73, 0, 0]) == .failure(.badField("initial credit")))
    }

    @Test func attributesByteForByte() throws {
        let content = try #require(OpenAttributes.encoded(["b": ["x", ""], "a": ["é"], "none": []]))
        #expect(content == [1, 0x61, 1, 2, 0xC3, 0xA9, 1, 0x62, 2, 1, 0x78, 0])
        let request = OpenRequest(
            service: "s", principal: "jwt:i/a",
            extensions: [FrameExtension(type: OpenAttributes.extensionType, value: content)])
        let read = try open(request.encodedPayload(initialCredit: 0)).get()
        #expect(try read.attributes() == ["a": ["é"], "b": ["x", ""]])
        #expect(try OpenRequest(service: "s").attributes() == [:])
        #expect(OpenAttributes.encoded([:]) == [])
        for count in 0..<content.count where count != 6 {
            #expect(throws: PayloadError.self, "prefix of \(count)") {
                try OpenAttributes.parse(Array(content.prefix(count)))
            }
        }
    }

    @Test(
        arguments: [
            ([], .badField("attributes")),
            ([0, 1, 0], .badField("attribute name")),
            ([1, 0x20, 1, 0], .badField("attribute name")),
            ([2, 0xC3, 0xA9, 1, 0], .badField("attribute name")),
            ([1, 0x61, 0], .badField("attribute values")),
            ([1, 0x61, 1, 1, 0xFF], .invalidUTF8),
            ([1, 0x61, 2, 0], .truncated),
            // Twice the same name, and names out of order.
            ([1, 0x61, 1, 0, 1, 0x61, 1, 0], .badField("attribute name")),
            ([1, 0x62, 1, 0, 1, 0x61, 1, 0], .badField("attribute name")),
            ([65] + [UInt8](repeating: 0x61, count: 65) + [1, 0], .badField("attribute name")),
        ] as [([UInt8], PayloadError)]) func attributesThatAreRefused(_ content: [UInt8], _ error: PayloadError) throws
    {
        #expect(throws: error) { try OpenAttributes.parse(content) }
        // The request itself is read: its stream is refused, the link stays.
        let request = OpenRequest(
            service: "s", extensions: [FrameExtension(type: OpenAttributes.extensionType, value: content)])
        #expect(try open(request.encodedPayload(initialCredit: 0)).get() == request)
    }

    @Test func attributesThatCannotBeWritten() {
        func text(_ count: Int) -> String { String(repeating: "x", count: count) }
        #expect(OpenAttributes.encoded(["": ["a"]]) == nil)
        #expect(OpenAttributes.encoded(["a b": ["a"]]) == nil)
        #expect(OpenAttributes.encoded([text(65): ["a"]]) == nil)
        #expect(OpenAttributes.encoded(["a": [text(256)]]) == nil)
        #expect(OpenAttributes.encoded(["a": [text(255)]])?.count == 259)
        #expect(OpenAttributes.encoded(["a": Array(repeating: "", count: 256)]) == nil)
        #expect(OpenAttributes.encoded(["a": Array(repeating: "", count: 255)])?.count == 258)
        let full = Array(repeating: text(255), count: 3)
        #expect(OpenAttributes.encoded(["a": full + [text(251)]])?.count == FrameExtension.maximumSize - 1)
        #expect(OpenAttributes.encoded(["a": full + [text(252)]])?.count == FrameExtension.maximumSize)
        let tooLong = OpenAttributes.encoded(["a": full + [text(253)]])
        #expect(tooLong == nil)
    }

    @Test func requestsThatCannotBeWritten() {
        let long = String(repeating: "x", count: 256)
        #expect(!OpenRequest(service: "").isEncodable)
        #expect(!OpenRequest(service: long).isEncodable)
        #expect(!OpenRequest(service: "s", instance: long).isEncodable)
        #expect(!OpenRequest(service: "s", principal: long).isEncodable)
        #expect(!OpenRequest(service: "s", traceID: [1]).isEncodable)
        let twice = [FrameExtension(type: 5, value: []), FrameExtension(type: 5, value: [])]
        #expect(!OpenRequest(service: "s", extensions: twice).isEncodable)
        #expect(OpenRequest(service: String(repeating: "x", count: 255)).isEncodable)
    }

    @Test func noticesByteForByte() throws {
        let notice = Notice(.denied, retryAfter: 258, detail: "no")
        #expect(notice.encodedPayload(for: .refuse) == [0, 64, 0, 0, 1, 2, 0x6E, 0x6F])
        #expect(notice.encodedPayload(for: .reset) == [0, 64, 0x6E, 0x6F])
        #expect(
            notice.encodedPayload(for: .goAway, lastStreamID: 0x0A0B)
                == [0, 64, 0, 0, 1, 2, 0, 0, 0, 0, 0x0A, 0x0B, 0x6E, 0x6F])
        for type: FrameType in [.refuse, .reset, .goAway] {
            let payload = notice.encodedPayload(for: type, lastStreamID: 77)
            let parsed = try payload.withUnsafeBytes { try Notice.parse(type, payload: $0) }
            #expect(parsed.notice == Notice(.denied, retryAfter: type == .reset ? 0 : 258, detail: "no"))
            #expect(parsed.lastStreamID == (type == .goAway ? 77 : 0))
            for count in 0..<payload.count - 2 {
                #expect(throws: PayloadError.truncated) {
                    try Array(payload.prefix(count)).withUnsafeBytes { _ = try Notice.parse(type, payload: $0) }
                }
            }
        }
    }

    @Test func longDetailsAreCutAtACharacterAndLongerOnesRefused() throws {
        let notice = Notice(.denied, detail: "a" + String(repeating: "é", count: 200))
        let payload = notice.encodedPayload(for: .reset)
        #expect(payload.count == 2 + 255)
        let even = Notice(.denied, detail: String(repeating: "é", count: 200)).encodedPayload(for: .reset)
        #expect(even.count == 2 + 254)
        #expect(throws: PayloadError.badField("detail")) {
            try (payload + [0x61]).withUnsafeBytes { _ = try Notice.parse(.reset, payload: $0) }
        }
        #expect(throws: PayloadError.invalidUTF8) {
            try [0, 64, 0xFF].withUnsafeBytes { _ = try Notice.parse(.reset, payload: $0) }
        }
    }

    @Test func bootIDsAsText() {
        let id = BootID(high: 0x0102_0304_0506_0708, low: 0xF0)
        #expect(id.description == "010203040506070800000000000000f0")
        #expect(BootID(hex: id.description) == id)
        #expect(BootID(hex: "00") == nil)
    }
}
