/** Commands as they are on the wire. */

/** An argument; text is UTF-8. */
export type Argument = Buffer | string | number;
export type CommandLine = readonly Argument[];

/** The bytes of a command. */
export function encodeCommand(command: CommandLine): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${command.length}\r\n`, 'latin1')];
  for (const argument of command) {
    const bytes = Buffer.isBuffer(argument) ? argument : Buffer.from(String(argument));
    parts.push(Buffer.from(`$${bytes.length}\r\n`, 'latin1'), bytes, LINE_END);
  }
  return Buffer.concat(parts);
}

const LINE_END = Buffer.from('\r\n', 'latin1');
