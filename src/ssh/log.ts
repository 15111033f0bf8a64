/** Where records go; the program's log has this shape. */
export interface SshLog {
  error(text: string): void;
  warning(text: string): void;
  info(text: string): void;
  debug(text: string): void;
}
