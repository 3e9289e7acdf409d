/** What pipelines must show: every key sees the commands of one pipeline in their order. */
import { type Checker, pairOps } from '../history.ts';

/**
 * One command of a pipeline: `append` of a unique element to one key, or to several at once; `r` of one key, with the list that it showed, null when it was refused;
 * `refused` is an append of which the reply said that nothing happened.
 */
export type PipelinedOp =
  | readonly [f: 'append' | 'refused', keys: readonly string[], element: number]
  | readonly [f: 'r', key: string, list: readonly number[] | null];

/** Where an element comes from: the pipeline by the index of its invocation, and its place there. */
interface Origin {
  readonly pipeline: number;
  readonly place: number;
  readonly isRefused: boolean;
  /** Every reply of the pipeline has come. A command of unknown outcome may still happen when others have, so nothing is asked of its order. */
  readonly isCertain: boolean;
}

/**
 * Operations: `pipeline` of `PipelinedOp`s, all sent before the first reply; other operations with such a value take part. Each list that
 * is read shows the elements of one pipeline whose replies have all come in its order, none twice and none that was refused; a read within a pipeline shows what that
 * pipeline has appended to the key before it, and nothing that it appends later.
 */
export const pipelinesChecker: Checker = {
  name: 'pipelines',
  check(history) {
    const origins = new Map<number, Origin>();
    const pairs = pairOps(history);
    for (const { invoke, completion } of pairs) {
      const ops = invoke.value as readonly PipelinedOp[];
      const done = completion?.type === 'ok' ? (completion.value as readonly PipelinedOp[]) : undefined;
      ops.forEach((op, place) => {
        if (op[0] === 'r') return;
        const isRefused = completion?.type === 'fail' || done?.[place]?.[0] === 'refused';
        origins.set(op[2], { pipeline: invoke.index, place, isRefused, isCertain: done !== undefined });
      });
    }
    const problems: string[] = [];
    let reads = 0;
    for (const { invoke, completion } of pairs) {
      if (completion?.type !== 'ok') continue;
      const ops = completion.value as readonly PipelinedOp[];
      ops.forEach((op, place) => {
        if (op[0] !== 'r' || op[2] === null) return;
        reads++;
        const [, key, list] = op;
        const where = `the read of ${key} at place ${place} of the pipeline at event ${invoke.index}`;
        problems.push(...faultsOf(list, origins).map((fault) => `${where} ${fault}`));
        const shown = new Set(list);
        ops.forEach((other, at) => {
          if (other[0] !== 'append' || !other[1].includes(key)) return;
          if (at < place && !shown.has(other[2])) problems.push(`${where} misses ${other[2]} of place ${at}`);
          if (at > place && shown.has(other[2])) problems.push(`${where} shows ${other[2]} of place ${at}`);
        });
      });
    }
    return { valid: problems.length === 0, problems, facts: { appends: origins.size, reads } };
  },
};

/** What is wrong with a list whatever the reader has done. */
function faultsOf(list: readonly number[], origins: ReadonlyMap<number, Origin>): string[] {
  const faults: string[] = [];
  const newest = new Map<number, { readonly place: number; readonly element: number }>();
  for (const element of list) {
    const origin = origins.get(element);
    if (origin === undefined) {
      faults.push(`shows ${element}, which nobody has appended`);
      continue;
    }
    if (origin.isRefused) faults.push(`shows ${element}, which was refused`);
    if (!origin.isCertain) continue;
    const before = newest.get(origin.pipeline);
    if (before !== undefined && before.place >= origin.place) {
      faults.push(`shows ${element} behind ${before.element}, which comes later in their pipeline`);
    }
    newest.set(origin.pipeline, { place: origin.place, element });
  }
  return faults;
}
