/** Commands of one connection that older programs do not know, until every node of the cluster is known to know them. */
import type { ResolvedCommand } from '../command/index.ts';
import { featureText } from '../protocol/index.ts';
import type { ServerState } from '../state/index.ts';
import { ShortWait } from './short-wait.ts';

/** What becomes of a command that is about to begin: it begins, waits, or is refused with an error. */
export type Standing = 'go' | 'wait' | { readonly refusal: string };

/** See the top of the file. */
export class FeatureWait {
  private readonly server: ServerState;
  private readonly wait: ShortWait;

  /** @param lookAgain called when a command that waits should be asked about again */
  constructor(server: ServerState, lookAgain: () => void) {
    this.server = server;
    this.wait = new ShortWait(server, lookAgain);
  }

  /**
   * Another node may have to know the command. It waits a little when nobody is known who stands in the way: the cluster has just begun, or this
   * node has.
   * @returns `go`, `wait`, or the text of the error
   */
  standingOf(command: ResolvedCommand): Standing {
    const { feature } = command;
    if (feature === undefined) return 'go';
    const standing = this.server.standingOf(feature);
    if (standing.kind === 'coming' && this.wait.goesOn()) return 'wait';
    this.wait.end();
    return standing.kind === 'active' ? 'go' : { refusal: featureText(command.fullName, feature, standing) };
  }
}
