/** The catalog's door on every node: questions that the proxy brings to the leader of the catalog group are answered here. */
import type { CatalogState, JobRow } from '../../distribution/index.ts';
import type { KvService } from '../../kv/index.ts';
import type { BalanceStatus, LoadReport } from '../contract/index.ts';
import { type CatalogQuestion, decodeQuestion, encodeAnswer, encodeRefusal } from './codec.ts';
import { CatalogMessageError } from './errors.ts';
import type { Heartbeats } from './heartbeats.ts';
import type { CatalogLeader } from './leader.ts';

/** Name under which questions to the catalog travel. */
export const CATALOG_SERVICE = 'catalog';

/** Balancing where the catalog is led. */
export interface BalanceDoor {
  /** Takes what a node reports. */
  take(report: LoadReport): void;
  status(): BalanceStatus;
}

/** See the top of the file. Registers itself; nothing is to be closed. */
export class CatalogEndpoint {
  private readonly leader: CatalogLeader;
  private readonly heartbeats: Heartbeats;
  private readonly balance: BalanceDoor | undefined;

  constructor(kv: Pick<KvService, 'onForward'>, leader: CatalogLeader, heartbeats: Heartbeats, balance?: BalanceDoor) {
    this.balance = balance;
    this.leader = leader;
    this.heartbeats = heartbeats;
    kv.onForward(CATALOG_SERVICE, (payload, answer) => {
      this.answer(payload).then(
        (reply) => answer(undefined, reply),
        (error: unknown) => {
          const known = error instanceof Error ? error : new Error(String(error));
          const refusal = encodeRefusal(known);
          if (refusal === undefined) answer(known, undefined);
          else answer(undefined, refusal);
        },
      );
    });
  }

  private async answer(payload: Buffer): Promise<Buffer> {
    return encodeAnswer(await this.ask(decodeQuestion(payload)));
  }

  private async ask(question: CatalogQuestion): Promise<unknown> {
    switch (question.kind) {
      case 'run':
        return this.leader.run(question.request, question.isRepeat);
      case 'jobs':
        return this.leader.read(jobsOf);
      case 'document':
        return this.leader.read((state) => this.heartbeats.clusterState(state));
      case 'heartbeat':
        return this.heartbeats.take(question.node, question.has);
      case 'load':
        this.balance?.take(question.report);
        return undefined;
      case 'balance':
        if (this.balance === undefined) throw new CatalogMessageError('this program does not balance');
        return this.balance.status();
    }
  }
}

/** Unfinished jobs by number, then finished ones, newest first. */
function jobsOf(state: CatalogState): JobRow[] {
  const unfinished = [...state.jobs.values()].sort((a, b) => a.id - b.id);
  return [...unfinished, ...state.finished.map(({ job }) => job).reverse()];
}
