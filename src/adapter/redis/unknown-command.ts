/** The texts for commands that do not exist, cut off where Redis cuts them off. */

/** Bytes of a name, and of all arguments together, that are repeated to the client. */
const SHOWN_BYTES = 128;

export function unknownCommandText(args: readonly Buffer[]): string {
  let shown = '';
  for (let index = 1; index < args.length && shown.length < SHOWN_BYTES; index++) {
    shown += `'${args[index]!.toString('latin1', 0, SHOWN_BYTES - shown.length)}' `;
  }
  return `ERR unknown command '${args[0]!.toString('latin1', 0, SHOWN_BYTES)}', with args beginning with: ${shown}`;
}

/** @param container name of the container in any case */
export function unknownSubcommandText(container: string, sub: Buffer): string {
  return `ERR unknown subcommand '${sub.toString('latin1', 0, SHOWN_BYTES)}'. Try ${container.toUpperCase()} HELP.`;
}
