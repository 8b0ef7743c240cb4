const PAUSE = 2_000; // milliseconds

/** Makes Better Auth's tables, where they are missing, whenever the server starts: its command line needs Node 22. */
export async function register() {
  if (process.env.NEXT_RUNTIME !== "nodejs") return;
  const { getMigrations } = await import("better-auth/db/migration");
  const { auth } = await import("@/lib/auth");
  for (;;) {
    try {
      const { runMigrations } = await getMigrations(auth.options);
      return await runMigrations();
    } catch (error) {
      console.error(`Better Auth's tables can't be made just now: ${error}`); // as while another server makes them
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}
