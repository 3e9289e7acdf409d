export { MetricsServer, type MetricsServerOptions, type Readiness } from './server.ts';
