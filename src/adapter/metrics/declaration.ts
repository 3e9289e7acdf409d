/**
 * One metric, one declaration: name, type, help, labels and where its values come from are data, from which /metrics and
 * docs/metrics.md both come. Nothing is kept here: layers count in plain numbers, and a scrape reads them.
 */
import { Gauge, type Registry } from 'prom-client';
import type { BucketCounts } from '../../platform/index.ts';
import type { MetricSources } from './sources.ts';

/** Values of the labels, in the order in which the declaration names them; and the value. */
export type Sample = readonly [labels: readonly string[], value: number];

/** The same for a histogram. */
export type HistogramSample = readonly [labels: readonly string[], counts: BucketCounts];

interface Declared {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

/** What values there are now; a label's values must be few, and never something that users choose. */
export type MetricDeclaration = Declared &
  (
    | { readonly type: 'counter' | 'gauge'; readonly samples: (sources: MetricSources) => Iterable<Sample> }
    | {
        readonly type: 'histogram';
        readonly histograms: (sources: MetricSources) => Iterable<HistogramSample>;
        /** What is observed is multiplied by it to be in the unit of the name. */
        readonly scale: number;
      }
  );

/** A metric of one value. */
export const single = (
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  value: (sources: MetricSources) => number,
): MetricDeclaration => ({ type, name, help, labels: [], samples: (sources) => [[[], value(sources)]] });

/** A counter or gauge with labels. */
export const labelled = (
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  labels: readonly string[],
  samples: (sources: MetricSources) => Iterable<Sample>,
): MetricDeclaration => ({ type, name, help, labels, samples });

/** A histogram. @param scale 0.001 for milliseconds that are shown in seconds */
export const histogram = (
  name: string,
  help: string,
  labels: readonly string[],
  scale: number,
  histograms: (sources: MetricSources) => Iterable<HistogramSample>,
): MetricDeclaration => ({ type: 'histogram', name, help, labels, scale, histograms });

/** A gauge is the one metric of prom-client that adds nothing to what it is given; the type that is shown is the declared one. */
class DeclaredMetric extends Gauge {
  private readonly declaration: MetricDeclaration;
  private readonly sources: () => MetricSources;

  constructor(declaration: MetricDeclaration, sources: () => MetricSources, registry: Registry) {
    const { name, help, labels } = declaration;
    super({ name, help, labelNames: [...labels], registers: [registry] });
    this.declaration = declaration;
    this.sources = sources;
  }

  override async get(): ReturnType<Gauge['get']> {
    const { declaration } = this;
    const shape = await super.get();
    const values = valuesOf(declaration, this.sources());
    // prom-client's type of types is that of its own classes.
    return { ...shape, type: declaration.type as unknown as typeof shape.type, values };
  }
}

interface MetricValue {
  readonly value: number;
  readonly labels: Record<string, string | number>;
  readonly metricName?: string;
}

function valuesOf(declaration: MetricDeclaration, sources: MetricSources): MetricValue[] {
  const values: MetricValue[] = [];
  const named = (texts: readonly string[]): Record<string, string> =>
    Object.fromEntries(declaration.labels.map((label, at) => [label, texts[at] ?? '']));
  if (declaration.type !== 'histogram') {
    for (const [labels, value] of declaration.samples(sources)) values.push({ value, labels: named(labels) });
    return values;
  }
  const { name, scale } = declaration;
  for (const [texts, { bounds, counts, sum }] of declaration.histograms(sources)) {
    const labels = named(texts);
    let below = 0;
    for (let at = 0; at <= bounds.length; at++) {
      below += counts[at]!;
      const le = at === bounds.length ? '+Inf' : String(Number((bounds[at]! * scale).toPrecision(12)));
      values.push({ metricName: `${name}_bucket`, value: below, labels: { ...labels, le } });
    }
    values.push({ metricName: `${name}_sum`, value: sum * scale, labels });
    values.push({ metricName: `${name}_count`, value: below, labels });
  }
  return values;
}

/**
 * Registers metrics; their values are read when somebody asks.
 * @param sources asked once a metric and scrape
 */
export function registerDeclared(
  registry: Registry,
  declarations: readonly MetricDeclaration[],
  sources: () => MetricSources,
): void {
  for (const declaration of declarations) new DeclaredMetric(declaration, sources, registry);
}
