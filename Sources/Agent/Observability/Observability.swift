import HTTP
import JSON

/// The loopback listener: `/healthz`, `/readyz`, `/metrics`.
@ControlPlane
enum Observability {
    /// Answers a request of the metrics listener.
    static func answer(_ request: ControlRequest, _ source: any MetricsSource) async -> ControlAnswer {
        guard request.head.method == .get || request.head.method == .head else {
            var headers = HTTPHeaders()
            headers.set("Allow", "GET, HEAD")
            return .response(Problem("method_not_allowed", status: 405).response(headers: headers))
        }
        switch request.head.path {
        case "/healthz": return .response(.text("ok\n"))
        case "/readyz":
            let (isReady, reasons) = source.readiness
            return .response(
                isReady ? .text("ready\n") : .text(reasons.joined(separator: "\n") + "\n", status: 503))
        case "/metrics":
            var headers = HTTPHeaders()
            headers.set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            let text = await source.metricsText()
            return .response(HTTPResponse(status: 200, headers: headers, body: Array(text.utf8)))
        default:
            return .response(
                Problem("not_found", status: 404, detail: "there are /healthz, /readyz and /metrics").response())
        }
    }
}
