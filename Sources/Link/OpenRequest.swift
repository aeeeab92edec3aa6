internal import Bytes

/// What OPEN asks for. It names a service and perhaps an instance, never an address.
public struct OpenRequest: Sendable, Hashable {
    /// Extension number of the trace id.
    public static let traceExtension: UInt16 = 1

    /// The service's name, 1…255 bytes. The receiver checks its form.
    public var service: String
    /// The instance that is meant; empty: any at that node.
    public var instance: String
    /// For whom the node asks ("service:web", "uid:1000"); empty: for itself.
    public var principal: String
    /// 16 bytes of a W3C trace id, or nil.
    public var traceID: [UInt8]?
    /// Other extensions; receivers ignore those that they do not know.
    public var extensions: [FrameExtension]

    /// A request from its parts.
    public init(
        service: String, instance: String = "", principal: String = "", traceID: [UInt8]? = nil,
        extensions: [FrameExtension] = []
    ) {
        self.service = service
        self.instance = instance
        self.principal = principal
        self.traceID = traceID
        self.extensions = extensions
    }

    /// Whether the request can be written: names within 255 bytes, a service, a trace id of 16 bytes, extensions within
    /// their limits.
    public var isEncodable: Bool {
        (1...255).contains(service.utf8.count) && instance.utf8.count <= 255 && principal.utf8.count <= 255
            && (traceID == nil || traceID?.count == 16) && FrameExtension.fits(extensions)
            && !extensions.contains { $0.type == OpenRequest.traceExtension }
    }

    /// The payload of an OPEN that grants `initialCredit` bytes for the answer. The request must be encodable.
    public func encodedPayload(initialCredit: UInt32) -> [UInt8] {
        var writer = ByteWriter(minimumCapacity: 64)
        writer.writeUInt32(initialCredit)
        for text in [service, instance, principal] {
            writer.writeUInt8(UInt8(text.utf8.count))
            writer.writeString(text)
        }
        var all = extensions
        if let traceID { all.insert(FrameExtension(type: OpenRequest.traceExtension, value: traceID), at: 0) }
        FrameExtension.writeAll(all, to: &writer)
        return writer.bytes
    }

    /// Parses the payload of an OPEN; returns the request and the credit for the answer.
    public static func parse(
        payload: UnsafeRawBufferPointer
    ) throws(PayloadError) -> (request: OpenRequest, initialCredit: UInt32) {
        var reader = PayloadReader(payload)
        let credit = try reader.uint32()
        guard credit <= 1 << 20 else { throw .badField("initial credit") }
        let service = try reader.shortText()
        guard !service.isEmpty else { throw .badField("service") }
        var request = OpenRequest(
            service: service, instance: try reader.shortText(), principal: try reader.shortText())
        for item in try FrameExtension.readAll(&reader) {
            if item.type == traceExtension {
                guard item.value.count == 16 else { throw .badField("trace id") }
                request.traceID = item.value
            } else {
                request.extensions.append(item)
            }
        }
        return (request, credit)
    }
}
