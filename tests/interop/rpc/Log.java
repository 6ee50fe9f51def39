// Logs lines through log4j2, whose configuration (log4j2.xml) sends them to Flume and writes them to a file as well.
//   Log.java COUNT
// Every line has its own context data; every tenth an exception with a cause, so a body of many lines.

import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.apache.logging.log4j.ThreadContext;

public class Log {
    public static void main(String[] args) {
        Logger log = LogManager.getLogger("shop.Café");
        int count = Integer.parseInt(args[0]);
        for (int n = 0; n < count; n++) {
            ThreadContext.put("number", Integer.toString(n));
            ThreadContext.put("Straße", "東京 " + n % 7);
            if (n % 10 == 3) {
                try {
                    Integer.parseInt("дюжина " + n);
                } catch (NumberFormatException e) {
                    log.error("order {} refused", n, new IllegalStateException("no amount, line\nbroken", e));
                }
            } else if (n % 10 == 7) {
                log.warn("");
            } else {
                log.info("order {} for Zoë: 12 € 😀", n);
            }
            ThreadContext.clearAll();
        }
        LogManager.shutdown();
    }
}
