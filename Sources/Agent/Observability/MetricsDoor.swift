import EventLoop
import HTTP
import JSON

/// What has health and metrics to show: an agent or a front.
@ControlPlane
protocol MetricsSource: AnyObject {
    /// Whether it does its work, and why not.
    var readiness: (isReady: Bool, reasons: [String]) { get }
    /// The exposition text of `/metrics`.
    func metricsText() async -> String
}

/// The listener for health and metrics. Anybody on the host may ask there, so there is an end to how many and for how long:
/// descriptors are the data plane's.
@ControlPlane
final class MetricsDoor {
    private static let maximumConnections = 128
    /// Longer than the usual interval between two scrapes, so that a scraper keeps its connection; in nanoseconds.
    private static let idleTimeout: UInt64 = 90_000_000_000

    private weak var source: (any MetricsSource)?
    private let log: Log
    private var door: Door?
    private var connections: [UInt64: HTTPServerConnection] = [:]
    private var nextConnection: UInt64 = 0

    /// Serves on a socket that listens.
    init(_ socket: consuming FileDescriptor, of source: any MetricsSource, log: Log) throws(SystemError) {
        self.source = source
        self.log = log
        door = try Door(socket, log: log) { [weak self] descriptor, _ in self?.accept(descriptor) }
    }

    /// A copy of the socket, for another process.
    func duplicate() throws(SystemError) -> Int32? { try door?.duplicate() }

    /// Accepts no more, and ends each conversation after the answer that it waits for.
    func close() {
        door?.close()
        door = nil
        for connection in Array(connections.values) { connection.finish() }
    }

    private func accept(_ descriptor: consuming FileDescriptor) {
        guard connections.count < Self.maximumConnections else { return }
        let number = nextConnection
        nextConnection += 1
        let connection = HTTPServerConnection(
            descriptor, caller: .loopback, idleTimeout: Self.idleTimeout,
            handler: { [weak self] request in
                guard let source = self?.source else { return .response(Problem("going_away", status: 503).response()) }
                return await Observability.answer(request, source)
            },
            onClose: { [weak self] in self?.connections[number] = nil })
        do throws(SystemError) {
            try connection.start()
            connections[number] = connection
        } catch {
            log.error("metrics_failed", "a connection could not be served", [("detail", .string("\(error)"))])
        }
    }
}
