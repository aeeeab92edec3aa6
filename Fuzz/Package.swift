// swift-tools-version: 6.2
import PackageDescription

// The directories of Sources/, each a fuzz target; README.md says what they contain, `scripts/fuzz` builds and runs them.
// They are written out because SwiftPM remembers what a manifest said by its text: a list read from the disk goes stale.
let names = [
    "AuditReading",
    "CertificateReading",
    "ConfigurationReading",
    "DirectoryReading",
    "DocumentReading",
    "EdgeRequests",
    "EdgeWebSocket",
    "EnrolmentReading",
    "ForwardedFields",
    "HTTPRequests",
    "HTTPResponses",
    "HTTPRouting",
    "JSONReading",
    "KeySetReading",
    "LinkSession",
    "OCSPReading",
    "PolicyReading",
    "ProxyHeaders",
    "TokenReading",
    "WebSocketConnection",
    "WebSocketHandshake",
    "WebSocketUTF8",
]

func fuzzTarget(_ name: String) -> Target {
    .executableTarget(
        name: name,
        dependencies: [.product(name: "MeshRooms", package: "conduit-mesh"), "FuzzSupport", "FuzzDriver"],
        swiftSettings: [.swiftLanguageMode(.v6), .unsafeFlags(["-parse-as-library"])],
        // SwiftPM gives the main function of each executable a name of its own and links it as `main`; a fuzz target has
        // none, so both names are led to the driver.
        linkerSettings: [
            .unsafeFlags(
                ["\(name)_main", "main"].flatMap { ["-Xlinker", "--defsym", "-Xlinker", "\($0)=mesh_fuzz_main"] })
        ])
}

let package = Package(
    name: "conduit-mesh-fuzz",
    dependencies: [.package(name: "conduit-mesh", path: "..")],
    targets: [
        .target(name: "FuzzDriver", path: "Support/FuzzDriver"),
        .target(name: "FuzzSupport", path: "Support/FuzzSupport"),
    ] + names.map(fuzzTarget)
)
