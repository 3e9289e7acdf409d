/** Mutants of the way ranges move: each takes one rule away that keeps a key with one owner, or its data whole. */
import type { SimMutant } from './mutants.ts';

const DRIVER = 'src/cluster/moves/driver.ts';
const SPAN_STATE = 'src/kv/apply/span-state.ts';
const TRANSITIONS = 'src/distribution/ownership/span-transitions.ts';
const VIEW = 'src/kv/leader/view.ts';
const BATCH = 'src/kv/apply/batch.ts';
const SPAN_EXECUTOR = 'src/kv/leader/span-executor.ts';

const only = ['--routes'];

export const MOVE_MUTANTS: readonly SimMutant[] = [
  {
    name: 'fence-unchecked',
    breaks: 'a fenced range takes writes, both where commands are evaluated and at apply',
    only,
    mutations: [
      {
        file: 'src/distribution/ownership/span-table.ts',
        find: "{ kind: access === 'read' ? 'owned' : 'fenced', span }",
        replace: "{ kind: 'owned', span }",
      },
    ],
  },
  {
    name: 'release-without-fence',
    breaks: 'the driver sets no fence, and the source releases without one',
    only,
    mutations: [
      {
        file: DRIVER,
        find: "const { captured: rest } = await this.tell(job.src, {\n      kind: 'fence',\n      job: job.id,\n      attempt: job.attempt,\n      captured: { from: place.from, maxBytes: this.limits.pageBytes },\n    });",
        replace: 'const rest: any = undefined;',
      },
      { file: TRANSITIONS, find: "if (own.state !== 'FENCED') return refuse(table, 'NOT_FENCED');", replace: '' },
      {
        file: TRANSITIONS,
        find: "if (own.attempt !== attempt) return refuse(table, 'STALE_ATTEMPT');\n  if (fenceTs",
        replace: 'if (fenceTs',
      },
    ],
  },
  {
    name: 'capture-unwritten',
    breaks: 'writes of a range that is being copied are not captured',
    only,
    mutations: [{ file: SPAN_STATE, find: 'const job = this.table.capturingJob(key);', replace: 'const job = 0;' }],
  },
  {
    name: 'range-delete-uncaptured',
    breaks: 'range deletes on a range that is being copied are not captured',
    only: [...only, '--workload', 'flush'],
    mutations: [{ file: SPAN_STATE, find: 'if (!isCapturing(span)) continue;', replace: 'continue;' }],
  },
  {
    name: 'last-drain-skipped',
    breaks: 'the driver does not ship what was captured between its last look and the fence',
    only,
    mutations: [
      {
        file: DRIVER,
        find: 'const copy = copyCaptured(copying, imports, rest).then(',
        replace: 'const copy = Promise.resolve({ bytes: 0, imports: imports! } as any).then(',
      },
    ],
  },
  {
    name: 'purge-too-wide',
    breaks: 'a purge deletes everything behind the start of its range',
    only,
    mutations: [
      {
        file: SPAN_STATE,
        find: "case 'purge':\n          this.drop(writer, outcome.span);",
        replace: "case 'purge':\n          this.drop(writer, { start: outcome.span!.start, end: undefined });",
      },
    ],
  },
  {
    name: 'purge-too-early',
    breaks: 'the source deletes its data when the fence is up, before the last of it was copied',
    only,
    mutations: [
      {
        file: SPAN_STATE,
        find: "case 'captureOff':",
        replace:
          "case 'fence':\n          this.drop(writer, outcome.span);\n          break;\n        case 'captureOff':",
      },
    ],
  },
  {
    name: 'refusal-as-success',
    breaks: 'a write of a key that went elsewhere is answered as if it had happened',
    only,
    mutations: [
      {
        file: VIEW,
        find: 'this.refuse(this.gate.refuse(key, access));',
        replace: "if (access === 'read') this.refuse(this.gate.refuse(key, access));",
      },
      {
        file: 'src/kv/leader/settlements.ts',
        find: 'for (const number of refusals.keys()) units[number]!.isConflicted = true;',
        replace: "for (const [number, why] of refusals) if (why !== 'notOwned') units[number]!.isConflicted = true;",
      },
    ],
  },
  {
    name: 'import-overwrites',
    breaks: 'an import writes versions over newer ones',
    only,
    mutations: [{ file: SPAN_STATE, find: 'if (before !== undefined && commitTs <= before) continue;', replace: '' }],
  },
  {
    name: 'floor-ignored',
    breaks:
      'nothing of the timestamps that come with a range counts: not its floor, not its versions, not the order of commits',
    only,
    mutations: [
      { file: TRANSITIONS, find: 'epoch, minWriteTs: floor, job: 0', replace: 'epoch, job: 0' },
      { file: SPAN_STATE, find: 'if (command.floor > maxTs) maxTs = command.floor;', replace: '' },
      { file: SPAN_STATE, find: 'if (commitTs > maxTs) maxTs = commitTs;', replace: '' },
      { file: SPAN_EXECUTOR, find: "if (request.kind === 'activate') ", replace: 'if (false) ' },
      {
        file: SPAN_EXECUTOR,
        find: 'for (const { commitTs } of request.versions) ',
        replace: 'for (const commitTs of []) ',
      },
      { file: BATCH, find: 'this.isInOrder = this.commitTs > before.largestTs;', replace: 'this.isInOrder = true;' },
    ],
  },
  {
    name: 'activate-first',
    breaks: 'the driver lets the destination serve before the source has released',
    only,
    mutations: [
      {
        file: DRIVER,
        find: "const { outcome, gcThreshold } = await this.options.spans.command(src, { kind: 'release', job: id, attempt, dst });",
        replace:
          "const { gcThreshold, span } = await this.options.spans.job(src, id);\n    const outcome: any = { kind: 'done', span: { minWriteTs: span!.minWriteTs + 1n, epoch: span!.epoch + 1 } };",
      },
    ],
  },
];
