/** Prints docs/metrics.md. */
import { metricsReference } from './metrics.ts';

process.stdout.write(metricsReference());
