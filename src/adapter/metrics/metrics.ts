/** All metrics of a node. */
import { collectDefaultMetrics, type Registry } from 'prom-client';
import { type MetricDeclaration, registerDeclared } from './declaration.ts';
import { ENGINE_METRICS } from './engine-metrics.ts';
import { GROUP_METRICS } from './group-metrics.ts';
import { SERVICE_METRICS } from './service-metrics.ts';
import type { MetricSources } from './sources.ts';

/** What kvorum itself measures; what Node measures of the process (`process_*`, `nodejs_*`) comes besides. */
export const ALL_METRICS: readonly MetricDeclaration[] = [...SERVICE_METRICS, ...GROUP_METRICS, ...ENGINE_METRICS];

/**
 * Registers everything; values are read when somebody asks.
 * @param sources asked once a scrape
 */
export function registerMetrics(registry: Registry, sources: () => MetricSources): void {
  collectDefaultMetrics({ register: registry });
  let read: MetricSources | undefined;
  registerDeclared(registry, ALL_METRICS, () => {
    if (read === undefined) {
      read = sources();
      // All metrics of a scrape are asked in one turn.
      queueMicrotask(() => {
        read = undefined;
      });
    }
    return read;
  });
}

/** docs/metrics.md. */
export function metricsReference(): string {
  const rows = ALL_METRICS.map(({ name, type, labels, help }) => {
    const cells = [`\`${name}\``, type, labels.map((label) => `\`${label}\``).join(', '), help];
    return `| ${cells.join(' | ')} |`;
  });
  return [
    '# Metrics',
    '',
    'Every node answers `GET /metrics` on its metrics port. What Node says of the process (`process_*`, `nodejs_*`) comes',
    'besides. [Design](design/control-plane/metrics.md), [dashboards and alerts](../monitoring/README.md). Made by `npm run docs:metrics`; a',
    'test compares.',
    '',
    '| Name | Type | Labels | What it is |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}
