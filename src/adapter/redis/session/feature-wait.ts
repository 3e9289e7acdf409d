/** Commands of one connection that older programs do not know, until every node of the cluster is known to know them. */
import type { Millis } from '../../../platform/index.ts';
import type { ResolvedCommand } from '../command/index.ts';
import { featureText } from '../protocol/index.ts';
import type { ServerState } from '../state/index.ts';

/** Between looks at a feature that is about to become active. */
const LOOK_MS: Millis = 20;

/** What becomes of a command that is about to begin: it begins, waits, or is refused with an error. */
export type Standing = 'go' | 'wait' | { readonly refusal: string };

/** See the top of the file. */
export class FeatureWait {
  private readonly server: ServerState;
  private readonly lookAgain: () => void;
  /** Since when a command has waited, monotonic. */
  private sinceMs: Millis | undefined;
  private isLookDue = false;

  /** @param lookAgain called when a command that waits should be asked about again */
  constructor(server: ServerState, lookAgain: () => void) {
    this.server = server;
    this.lookAgain = lookAgain;
  }

  /**
   * Another node may have to know the command. It waits a little when nobody is known who stands in the way: the cluster has just begun, or this
   * node has.
   * @returns `go`, `wait`, or the text of the error
   */
  standingOf(command: ResolvedCommand): Standing {
    const { server } = this;
    const { feature } = command;
    if (feature === undefined) return 'go';
    const standing = server.standingOf(feature);
    if (standing.kind === 'active') {
      this.sinceMs = undefined;
      return 'go';
    }
    const nowMs = server.clock.monotonicMs();
    this.sinceMs ??= nowMs;
    if (standing.kind === 'coming' && nowMs - this.sinceMs < server.commandTimeoutMs) {
      this.lookLater();
      return 'wait';
    }
    this.sinceMs = undefined;
    return { refusal: featureText(command.fullName, feature, standing) };
  }

  private lookLater(): void {
    if (this.isLookDue) return;
    this.isLookDue = true;
    this.server.scheduler.after(LOOK_MS, () => {
      this.isLookDue = false;
      this.lookAgain();
    });
  }
}
