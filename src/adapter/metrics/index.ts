export type { MetricDeclaration } from './declaration.ts';
export { countingServer, GrpcCounters } from './grpc-calls.ts';
export { ALL_METRICS, metricsReference, registerMetrics } from './metrics.ts';
export { MetricsServer, type MetricsServerOptions, type Readiness } from './server.ts';
export type { BackupFacts, GroupFacts, JobFacts, MetricSources } from './sources.ts';
