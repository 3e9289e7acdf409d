/** Where the CPU time of a request goes: a profile of a node's process, split into the stations of a request. Pure. */
import type { Profiler } from 'node:inspector';

/** Stations of a request; `other` is what belongs to none: timers, the garbage collector, promises. */
export const STAGES = ['http', 'sigv4', 'json', 'expression', 'item', 'kv', 'other'] as const;
export type Stage = (typeof STAGES)[number];

/** What CPU time each stage has, µs a request. */
export type StageTimes = { readonly [S in Stage]: number };

/** First match wins. Whatever matches nothing belongs to who has called it. */
const PLACES: readonly (readonly [pattern: RegExp, stage: Stage])[] = [
  [/adapter\/dynamodb\/wire\/(signature|signing-key|credentials)\./, 'sigv4'],
  [/adapter\/dynamodb\/(wire\/(json-body|typed-tree)|values\/wire|validation\/|model\/)/, 'json'],
  [/adapter\/dynamodb\/expressions\//, 'expression'],
  [/adapter\/dynamodb\/wire\//, 'http'],
  [/adapter\/dynamodb\//, 'item'],
  [/src\/(kv|raftengine|store|distribution|cluster|platform)\//, 'kv'],
  [/node_modules\/(classic-level|msgpackr|@grpc)\//, 'kv'],
  [/node:(_http|http|net|internal\/stream_base|_tls|internal\/http)/, 'http'],
];

/** Samples that say nothing of where the thread was; a thread that waits for a processor is there too. */
const NOT_WORK: readonly string[] = ['(idle)', '(root)', '(program)'];

function ownStage({ functionName, url }: Profiler.ProfileNode['callFrame']): Stage | undefined {
  if (functionName === '(garbage collector)') return 'other';
  return PLACES.find(([pattern]) => pattern.test(url))?.[1];
}

/**
 * Samples say where the time goes, and not how much of it was the processor's.
 * @param cpuUs CPU time of the thread while the profile was taken
 * @param requests that were answered meanwhile
 */
export function splitProfile(profile: Profiler.Profile, cpuUs: number, requests: number): StageTimes {
  const { nodes, samples = [], timeDeltas = [] } = profile;
  const parents = new Map<number, number>();
  const byId = new Map(nodes.map((node) => [node.id, node]));
  for (const { id, children } of nodes) for (const child of children ?? []) parents.set(child, id);
  const known = new Map<number, Stage | undefined>();
  const stageOf = (id: number | undefined): Stage => {
    const path: number[] = [];
    let at = id;
    let stage: Stage | undefined;
    for (; at !== undefined && stage === undefined; at = parents.get(at)) {
      stage = known.get(at) ?? ownStage(byId.get(at)!.callFrame);
      path.push(at);
    }
    for (const one of path) known.set(one, stage ?? 'other');
    return stage ?? 'other';
  };
  const times: Record<Stage, number> = { http: 0, sigv4: 0, json: 0, expression: 0, item: 0, kv: 0, other: 0 };
  samples.forEach((id, at) => {
    if (NOT_WORK.includes(byId.get(id)!.callFrame.functionName)) return;
    times[stageOf(id)] += timeDeltas[at] ?? 0;
  });
  const sampled = STAGES.reduce((sum, stage) => sum + times[stage], 0);
  for (const stage of STAGES) times[stage] *= cpuUs / (Math.max(1, sampled) * Math.max(1, requests));
  return times;
}
