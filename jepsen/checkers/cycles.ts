/**
 * Dependency graphs between transactions and the cycles in them (Adya 1999; Elle, Kingsbury & Alvaro 2020). An edge says
 * that one transaction must come before another and why; a cycle says that no serial order exists, and the kinds of its
 * edges name the anomaly.
 */

/**
 * - `ww`: the second overwrote what the first wrote; `wr`: the second read what the first wrote;
 * - `rw`: the second overwrote what the first read (anti-dependency);
 * - `realtime`: the first had completed before the second was invoked; `process`: same client, in this order.
 */
export type EdgeKind = 'ww' | 'wr' | 'rw' | 'realtime' | 'process';

export interface Edge {
  readonly from: number;
  readonly to: number;
  readonly kind: EdgeKind;
  /** In words, for the report. */
  readonly because: string;
}

/** A cycle, as the edges along it. */
export type Cycle = readonly Edge[];

export interface Anomaly {
  /** G0, G1c, G-single or G2-item, with `-process` or `-realtime` when only that order closes the cycle. */
  readonly name: string;
  readonly cycle: Cycle;
}

/** Directed multigraph over numbered transactions; parallel edges of different kinds are kept, duplicates are not. */
export class DependencyGraph {
  private readonly edgesFrom: Map<number, Edge[]> = new Map();

  add(edge: Edge): void {
    if (edge.from === edge.to) return;
    let edges = this.edgesFrom.get(edge.from);
    if (edges === undefined) {
      edges = [];
      this.edgesFrom.set(edge.from, edges);
    }
    if (!edges.some((other) => other.to === edge.to && other.kind === edge.kind)) edges.push(edge);
  }

  from(node: number): readonly Edge[] {
    return this.edgesFrom.get(node) ?? [];
  }

  nodes(): number[] {
    return [...this.edgesFrom.keys()];
  }
}

/** Strongly connected components with more than one node, over edges of the given kinds (Tarjan 1972, iterative). */
function components(graph: DependencyGraph, kinds: ReadonlySet<EdgeKind>): number[][] {
  const order = new Map<number, number>();
  const low = new Map<number, number>();
  const onStack = new Set<number>();
  const stack: number[] = [];
  const found: number[][] = [];
  let counter = 0;
  for (const root of graph.nodes()) {
    if (order.has(root)) continue;
    const work: { node: number; edges: Edge[]; next: number }[] = [];
    const enter = (node: number): void => {
      order.set(node, counter);
      low.set(node, counter);
      counter++;
      stack.push(node);
      onStack.add(node);
      work.push({ node, edges: graph.from(node).filter((edge) => kinds.has(edge.kind)), next: 0 });
    };
    enter(root);
    while (work.length > 0) {
      const frame = work.at(-1)!;
      if (frame.next < frame.edges.length) {
        const to = frame.edges[frame.next++]!.to;
        if (!order.has(to)) enter(to);
        else if (onStack.has(to)) low.set(frame.node, Math.min(low.get(frame.node)!, order.get(to)!));
        continue;
      }
      work.pop();
      const parent = work.at(-1);
      if (parent !== undefined) low.set(parent.node, Math.min(low.get(parent.node)!, low.get(frame.node)!));
      if (low.get(frame.node) === order.get(frame.node)) {
        const component: number[] = [];
        for (;;) {
          const node = stack.pop()!;
          onStack.delete(node);
          component.push(node);
          if (node === frame.node) break;
        }
        if (component.length > 1) found.push(component);
      }
    }
  }
  return found;
}

/** Shortest way from `start` to `goal` inside `inside`, over edges of the given kinds. */
function shortestPath(
  graph: DependencyGraph,
  start: number,
  goal: number,
  inside: ReadonlySet<number>,
  kinds: ReadonlySet<EdgeKind>,
): Edge[] | undefined {
  if (start === goal) return [];
  const cameBy = new Map<number, Edge>();
  const queue = [start];
  for (let at = 0; at < queue.length; at++) {
    for (const edge of graph.from(queue[at]!)) {
      if (!kinds.has(edge.kind) || !inside.has(edge.to) || cameBy.has(edge.to) || edge.to === start) continue;
      cameBy.set(edge.to, edge);
      if (edge.to === goal) {
        const path: Edge[] = [];
        for (let node = goal; node !== start; node = path[0]!.from) path.unshift(cameBy.get(node)!);
        return path;
      }
      queue.push(edge.to);
    }
  }
  return undefined;
}

/** Shortest cycle inside a component that starts with an edge of `first` and goes on with `rest`. */
function cycleInside(
  graph: DependencyGraph,
  component: readonly number[],
  first: EdgeKind,
  rest: ReadonlySet<EdgeKind>,
): Cycle | undefined {
  const inside = new Set(component);
  let best: Cycle | undefined;
  for (const node of component) {
    for (const edge of graph.from(node)) {
      if (edge.kind !== first || !inside.has(edge.to)) continue;
      const back = shortestPath(graph, edge.to, node, inside, rest);
      if (back !== undefined && (best === undefined || back.length + 1 < best.length)) best = [edge, ...back];
    }
  }
  return best;
}

interface Search {
  readonly name: string;
  /** Every cycle of this anomaly has an edge of this kind... */
  readonly first: EdgeKind;
  /** ...and otherwise only edges of these. */
  readonly rest: readonly EdgeKind[];
}

const ORDERS: readonly (readonly EdgeKind[])[] = [[], ['process'], ['process', 'realtime']];

/** From the plainest anomaly to the subtlest; one found makes the weaker explanations of the same component moot. */
function searches(order: readonly EdgeKind[]): Search[] {
  const suffix = order.length === 0 ? '' : `-${order.at(-1)}`;
  return [
    { name: `G0${suffix}`, first: 'ww', rest: ['ww', ...order] },
    { name: `G1c${suffix}`, first: 'wr', rest: ['ww', 'wr', ...order] },
    { name: `G-single${suffix}`, first: 'rw', rest: ['ww', 'wr', ...order] },
    { name: `G2-item${suffix}`, first: 'rw', rest: ['ww', 'wr', 'rw', ...order] },
  ];
}

/**
 * Names the anomalies of a graph: for each strongly connected component the plainest cycle, first without any order
 * between transactions but their data, then with process order, then with real time.
 */
export function findAnomalies(graph: DependencyGraph): Anomaly[] {
  const anomalies: Anomaly[] = [];
  const explained = new Set<number>();
  for (const order of ORDERS) {
    for (const search of searches(order)) {
      const kinds = new Set<EdgeKind>([search.first, ...search.rest]);
      for (const component of components(graph, kinds)) {
        if (component.some((node) => explained.has(node))) continue;
        const cycle = cycleInside(graph, component, search.first, new Set(search.rest));
        if (cycle === undefined) continue;
        anomalies.push({ name: search.name, cycle });
        for (const node of component) explained.add(node);
      }
    }
  }
  return anomalies;
}

/** A cycle in words, one line. */
export function describeCycle(cycle: Cycle): string {
  return cycle.map((edge) => `T${edge.from} -${edge.kind}-> T${edge.to} (${edge.because})`).join('; ');
}
